"""TFLite files: writers, checks and readers."""
