"""What buckets of budgets start from."""
