"""AED-MAE: a self-distilled masked auto-encoder that scores whole frames (arXiv 2306.12041)."""
