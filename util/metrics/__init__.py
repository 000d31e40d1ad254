"""Evaluation metrics as pure functions of numpy arrays."""
