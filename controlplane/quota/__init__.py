"""Quota: what budgets and rate limits have left, and who is told."""
