"""PoseC3D: 3-D convolutions on heatmaps of joints or limbs (https://arxiv.org/abs/2104.13586)."""
