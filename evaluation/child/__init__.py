"""Foreign files run in a child process, which may read them and compute, and nothing else."""
