"""TensorFlow Lite's file format: the only place that touches its FlatBuffer schema."""
