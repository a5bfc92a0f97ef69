"""What the ledger says of itself: whether its sums are what its entries add up to, and what it misses."""
