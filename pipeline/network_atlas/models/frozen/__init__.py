"""Run a network whose weights never change: fewer passes over memory, the same numbers up to rounding."""
