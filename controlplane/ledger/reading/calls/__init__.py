"""Single calls, from entries."""
