"""From a trained run to a detector: engines, exports, and streams of frames."""
