"""Generators of pose to video, and their interface in `base`."""
