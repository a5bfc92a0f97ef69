"""The ledger: every usage event once, its sums by quarter hour, and how both are read."""
