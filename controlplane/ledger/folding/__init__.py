"""Folding days that are over into hours, days and sums of single dimensions, so that reports read few rows."""
