"""What the ledger holds of each producer of usage events."""
