"""Virtual keys: making, hashing, rotating and revoking the credentials that apps present."""
