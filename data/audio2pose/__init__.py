"""Training data for speech to pose."""
