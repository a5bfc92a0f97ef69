"""Getting an answer from an upstream: walk the plan, send, and parse to frames."""
