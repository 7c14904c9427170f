"""What do we deploy? One family a file."""
