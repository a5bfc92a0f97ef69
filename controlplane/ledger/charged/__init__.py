"""What entries charge to the buckets of budgets."""
