"""Training with the quantizers of a plan in the network."""
