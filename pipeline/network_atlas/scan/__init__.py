"""Scan a dataset: one forward pass over it gives the statistics of every channel of every layer."""
