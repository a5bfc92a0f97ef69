"""Usage on disk from before a call goes out until the ledger has it: what survives the death of the process."""
