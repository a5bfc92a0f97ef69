"""Alerts: tell a webhook when parts of a budget are spent."""
