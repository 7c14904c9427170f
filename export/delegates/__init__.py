"""What accelerators would leave to the CPU."""
