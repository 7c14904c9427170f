"""Reports: tables as text, Markdown, JSON and CSV, and pages in HTML."""
