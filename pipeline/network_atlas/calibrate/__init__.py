"""What a finished picture is worth: how selective, robust and plausible it is, and how like natural examples."""
