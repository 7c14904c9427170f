"""TFLite files: rendered, checked, taken apart."""
