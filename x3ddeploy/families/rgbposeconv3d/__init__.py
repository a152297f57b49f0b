"""RGBPoseConv3D, the baseline that bench compares with; it is no family of bundles yet."""
