"""Why ReLU6 quantizes well: the same networks with four activations, measured."""
