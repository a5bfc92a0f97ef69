"""What admins see of rules: how full buckets are, and what a call would be told."""
