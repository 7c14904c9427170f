"""Loading of models of any origin, checked before use."""
