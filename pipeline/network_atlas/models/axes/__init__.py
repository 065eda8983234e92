"""Which axis of every tensor of a forward pass holds the channels."""
