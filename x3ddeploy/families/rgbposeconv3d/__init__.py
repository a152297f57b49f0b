"""RGBPoseConv3D (https://arxiv.org/abs/2104.13586): 3-D convolutions on frames and heatmaps that look at each other."""
