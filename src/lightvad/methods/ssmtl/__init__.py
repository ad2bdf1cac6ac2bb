"""Teacher T2, SSMTL: anomaly detection by self-supervised multi-task learning (Georgescu et al., CVPR 2021)."""
