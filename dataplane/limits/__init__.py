"""Admission: what rate limits and budgets say to a call, before it goes out and after it has ended."""
