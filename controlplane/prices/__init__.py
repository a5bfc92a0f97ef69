"""The built-in price book as an internal resource."""
