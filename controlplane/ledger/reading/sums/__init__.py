"""Sums of usage, from whatever keeps them."""
