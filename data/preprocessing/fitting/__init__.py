"""Least-squares fit of the SMPL-X body to keypoints."""
