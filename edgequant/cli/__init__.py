"""The command line: options, requests, what the user sees."""
