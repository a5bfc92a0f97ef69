"""Events of days whose entries were taken out of the ledger's table."""
