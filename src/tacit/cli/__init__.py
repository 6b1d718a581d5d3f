"""The command line: `tacit`."""
