"""The data plane: a stateless proxy that decides everything in memory."""
