"""The demo speaker: a rule-driven presenter, rendered with pose, words and gestures known."""
