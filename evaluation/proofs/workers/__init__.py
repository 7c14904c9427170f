"""Scripts that run in the interpreter with the runtime; they import none of our packages."""
