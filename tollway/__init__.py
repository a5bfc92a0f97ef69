"""What both planes must agree on: generated messages, the pure kernel, and the resources that admins write."""
