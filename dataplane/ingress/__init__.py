"""From HTTP to a Call and back: one module per client format, the writers, and health."""
