"""The ledger as a whole: what it misses, what has no place, what was taken out, what the last check found."""
