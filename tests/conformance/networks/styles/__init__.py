"""Small networks in the styles of Keras's own guides and of known architectures.

Each module defines ``STYLES``; a new one is a row, and the table and the docs have it.
"""
