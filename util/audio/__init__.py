"""Read audio and extract features from it."""
