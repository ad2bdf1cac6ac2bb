"""Decoding, the clip store and windows of frames."""
