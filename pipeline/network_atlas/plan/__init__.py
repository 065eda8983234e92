"""What is to be made: units and tasks with their fingerprints, what exists already, what the rest will cost. Pure."""
