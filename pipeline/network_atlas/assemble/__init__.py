"""Join everything known about a layer: one row per channel, with pictures, examples and statistics."""
