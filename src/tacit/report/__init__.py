"""Anonymous reporting: everybody receives the text, nobody learns who of the honest wrote it."""
