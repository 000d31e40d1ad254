"""Pose to video: generators, discriminators, training and inference."""
