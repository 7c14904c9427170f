"""Networks that the table of networks walks: Keras's own architectures, and styles of its guides."""
