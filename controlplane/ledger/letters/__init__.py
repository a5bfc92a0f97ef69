"""What the ledger could not book: shown, read anew, set aside."""
