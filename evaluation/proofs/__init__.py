"""Does the platform's own runtime agree? One runtime a file."""
