"""Days whose entries are taken out of the ledger, and what of them remains."""
