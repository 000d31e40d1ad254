"""The demo faces: clips of many synthetic people in eight emotions, with ground truth."""
