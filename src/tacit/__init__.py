"""Tacit: several organisations compute one answer from data that none of them shows."""

__version__ = "0.1.0"
