"""Find and read files on any filesystem, and try again where storage fails for a moment."""
