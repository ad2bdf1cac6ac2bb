"""lightvad: fast video anomaly detection, rebuilt from raw video to table."""

__version__ = "0.1.0"
