"""Front ends: other notations become Tacit equations. Each imports its own library, nothing else does."""
