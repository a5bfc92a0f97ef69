"""Which streams have the word for which processes."""
