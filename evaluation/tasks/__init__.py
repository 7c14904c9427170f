"""Tasks of networks, one per file: metrics, targets, and the loss that matters."""
