"""Models of natural images that pictures are made and measured with, learned from the run's own dataset or packaged."""
