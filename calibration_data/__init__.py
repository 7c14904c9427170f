"""On what do we calibrate and measure? Datasets, the preprocessing contract, splits."""
