"""Which layers lose most, and which of them leave int8."""
