"""What a call used and cost, and the way of that to the ledger."""
