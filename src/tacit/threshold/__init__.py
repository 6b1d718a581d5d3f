"""Keys that no one holds: threshold signatures, vaults that several people open, secrets in shares."""
