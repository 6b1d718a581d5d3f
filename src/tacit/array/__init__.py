"""Arrays whose values nobody sees: the op table, programs, and how they run."""
