"""Rings, fields and fixed-point numbers: exact modular arithmetic on arrays."""
