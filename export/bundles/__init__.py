"""For which platform? One ship target a file."""
