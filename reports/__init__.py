"""What do we tell the reader? Tables as text, Markdown, JSON and CSV, and pages in HTML."""
