"""Accounting periods: months, and which of them are closed."""
