"""The tap: copies of what was booked, kept for a while, and booking it again from them."""
