"""TSN: a 2-D network on frames from all over a video (https://arxiv.org/abs/1608.00859)."""
