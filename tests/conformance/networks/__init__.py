"""Networks of the table of networks: Keras's own architectures, and styles of its guides."""
