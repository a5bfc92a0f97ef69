"""What usage charges to budgets, in the transaction that books it."""
