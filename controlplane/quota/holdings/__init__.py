"""What is held of which buckets, for recalls."""
