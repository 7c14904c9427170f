"""What a model is, before anything is made from it."""
