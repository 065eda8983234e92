"""Statistics of each channel that own their update and merge; files of them in the store (NumPy, Numba)."""
