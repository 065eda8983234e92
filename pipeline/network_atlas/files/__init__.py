"""Bytes from any filesystem: opened, found, read, and tried again where storage fails for a moment."""
