"""Values that are stored encrypted: sealing them, where they lie, and an upstream's credential."""
