"""The commands of `atlas`, a module for each: what it prints. Each has a function `command(options)`."""
