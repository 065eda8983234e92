"""Measure the worth of a finished picture: how selective, robust and plausible it is, and how like natural examples."""
