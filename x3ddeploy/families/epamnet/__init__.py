"""EPAM-Net (https://arxiv.org/abs/2408.05421): the two-stream X3D network, pose attention on its RGB features."""
