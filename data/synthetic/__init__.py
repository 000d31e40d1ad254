"""Synthetic data with known ground truth: the demo speaker and the demo faces."""
