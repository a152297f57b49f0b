"""C2D: a 2-D network on clips, with one pooling over the time (https://arxiv.org/abs/1711.07971)."""
