"""What does everyone stand on? The error tree, whole files, foreign bytes, digests, threads."""
