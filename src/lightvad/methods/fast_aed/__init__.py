"""Fast-AED: a student that learns the anomaly maps of object-level teachers from whole frames (arXiv 2211.15597)."""
