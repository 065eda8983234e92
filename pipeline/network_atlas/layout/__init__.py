"""Activation maps: sampled activation vectors laid out on a square, and the cells of grids over it [umap-learn]."""
