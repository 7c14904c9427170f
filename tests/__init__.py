"""Tests compute as the command does, whichever of them loads TensorFlow first."""

from edgequant.repeatable import one_order_of_sums

one_order_of_sums()
