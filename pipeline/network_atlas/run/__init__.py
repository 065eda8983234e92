"""A run from start to end: prepare, carry out the stages, write down what happened."""
