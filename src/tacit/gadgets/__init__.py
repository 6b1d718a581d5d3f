"""Functionalities built from simpler functionalities; they run on every protocol that realises those."""
