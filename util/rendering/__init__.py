"""Drawing and rendering: the camera, skeleton maps, OpenPose maps and the shaded body."""
