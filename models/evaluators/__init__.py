"""Networks used only to evaluate: image metrics, face classifiers, the gesture distance."""
