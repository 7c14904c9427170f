"""What an installation and its machine have, and what is missing for which command."""
