"""Pictures by optimization: an image is learned that excites a unit (Olah, Mordvintsev, Schubert 2017)."""
