"""Measurements by hand: they print figures, and no test asserts one."""
