"""Dimensions and conditions on them as SQL."""
