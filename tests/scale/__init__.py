"""A ledger of the size of a month of a large installation, and how long its reports take."""
