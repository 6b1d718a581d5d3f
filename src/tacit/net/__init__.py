"""Links between parties: one interface, in memory for tests and over mutual TLS 1.3 between processes."""
