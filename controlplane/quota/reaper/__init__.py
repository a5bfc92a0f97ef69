"""Leases that nobody renews, and rows that nobody needs any more."""
