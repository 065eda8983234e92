"""What a picture is: how it is represented, what it maximizes, what it must survive, how it is stored and measured."""
