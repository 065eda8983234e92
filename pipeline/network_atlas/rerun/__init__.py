"""An atlas made again after retraining: what changed between two of its snapshots."""
