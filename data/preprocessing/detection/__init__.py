"""Detection of keypoints by MediaPipe."""
