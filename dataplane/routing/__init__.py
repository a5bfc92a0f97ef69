"""Which upstreams a call is tried at, and in which order."""
