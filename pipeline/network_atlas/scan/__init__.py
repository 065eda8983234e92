"""What really excites each channel: one forward pass over the dataset serves every layer at once."""
