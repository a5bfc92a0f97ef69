"""The control plane: owns configuration, keys and the ledger in Postgres."""
