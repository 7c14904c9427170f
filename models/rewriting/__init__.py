"""Networks rebuilt into equal ones: branches merged, contracts folded."""
