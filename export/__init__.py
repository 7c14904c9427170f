"""To which file? One target a file."""
