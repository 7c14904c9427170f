"""Studies: questions that this project answers with measurements of its own."""
