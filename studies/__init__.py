"""Studies: questions that this project answers with its own measurements."""
