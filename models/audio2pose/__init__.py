"""Speech to pose vectors: network, losses, training and the predictor used at inference."""
