"""Least-squares fit of the SMPL-X body to keypoints, and calibration of the detector for it."""
