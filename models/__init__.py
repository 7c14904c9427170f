"""What do we deploy? One family of networks per file."""
