"""Randomness, keys and hashing: the only place where cryptographic libraries are called."""
