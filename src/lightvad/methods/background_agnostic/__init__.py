"""T1, background-agnostic: object-level detection by adversarial auto-encoders (Georgescu et al., TPAMI 2022)."""
