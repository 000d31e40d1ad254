"""Models: networks, losses, training steps, inference and pipelines."""
