"""Training with the plan's quantizers in place."""
