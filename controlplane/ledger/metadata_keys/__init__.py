"""Which keys of calls' metadata sums are kept by."""
