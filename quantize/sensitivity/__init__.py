"""The layers that lose most, and the choice of those that leave int8."""
