"""TSM: a 2-D network whose frames exchange channels with their neighbours (https://arxiv.org/abs/1811.08383)."""
