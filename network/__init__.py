"""The canonical graph, its operators, their integers, and what runs it."""
