"""Speech to a talking face: networks, training and inference."""
