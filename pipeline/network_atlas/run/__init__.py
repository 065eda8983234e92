"""A run from start to end: prepare it, carry out its stages, record what happened."""
