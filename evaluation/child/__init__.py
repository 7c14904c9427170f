"""How is a file of others run? In a child process that may read it and compute, nothing else."""
