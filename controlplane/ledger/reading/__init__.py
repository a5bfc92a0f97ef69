"""Reading the ledger: sums from rollups, single calls from entries."""
