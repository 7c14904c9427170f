"""With which numbers? The named recipes."""
