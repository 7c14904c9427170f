"""Cost of a network: parameters, multiply-adds, memory."""
