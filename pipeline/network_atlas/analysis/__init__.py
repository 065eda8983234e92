"""Read an atlas, any snapshot of it: tables as Arrow, single units with their pictures. Needs no torch and no Ray."""
