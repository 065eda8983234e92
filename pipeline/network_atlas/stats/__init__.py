"""Statistics that merge: what a scan gathers per channel, free of devices and files (NumPy alone)."""
