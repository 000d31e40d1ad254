"""Clips of video and pose as training sequences of pose to video."""
