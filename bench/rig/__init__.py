"""Tacit and its peers on the same workloads, in turn, among real processes; `bench/peers.py` is the entry."""
