"""Noticing that thresholds are passed."""
