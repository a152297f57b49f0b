"""TRN: a 2-D network whose head relates frames to each other (https://arxiv.org/abs/1711.08496)."""
