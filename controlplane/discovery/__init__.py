"""The config feed: what data planes run, pushed to them, and which of them run it."""
