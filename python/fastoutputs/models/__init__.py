"""Output classes of single model families."""
