"""Say where on an image a channel looks, and which channels before it drive it."""
