"""The decisions on disk: every scale and integer of a network."""
