"""Our files and those of other quantizers, measured in one run."""
