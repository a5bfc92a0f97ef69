"""Whether what budgets have spent and hold is what the ledger and the leases add up to."""
