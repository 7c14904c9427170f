"""What does everyone stand on? Error tree, whole-file writing, foreign bytes, digests, threads."""
