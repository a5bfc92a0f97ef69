"""The command line, the local stack behind `tollctl up`, and the simulated provider."""
