"""What all object-level methods share: crops through time and optical flow."""
