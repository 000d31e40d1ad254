"""Detection of keypoints by MediaPipe, and calibration of its systematic errors."""
