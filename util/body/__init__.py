"""The parametric body: skeleton, pose vector, rotations, joint limits and the SMPL-X model."""
