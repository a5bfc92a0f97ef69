"""What an admin may write and what becomes of it: kinds, validation, projection, manifests. Both planes use it."""
