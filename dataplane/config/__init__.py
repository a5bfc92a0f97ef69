"""Where the configuration comes from, and how it becomes the snapshot that calls pin."""
