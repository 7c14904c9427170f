"""Scripts that run alone, in the interpreter that has the runtime; they import nothing of ours."""
