"""Tests compute as the command does, whichever of them loads TensorFlow first."""

from edgequant.repeatable import one_core_an_operator

one_core_an_operator()
