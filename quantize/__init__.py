"""The numbers that a network becomes: recipes, the engine, and its steps."""
