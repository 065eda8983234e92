"""The commands of `atlas`, one module each, with a function `command(options)` that returns the exit code."""
