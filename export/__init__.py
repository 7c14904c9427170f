"""Export to files: one package per format, delegates and bundles."""
