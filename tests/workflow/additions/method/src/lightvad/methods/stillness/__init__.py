"""A method that a test adds: how much a frame differs from the one before, divided by how much it does in training."""
