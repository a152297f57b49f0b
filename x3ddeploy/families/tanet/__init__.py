"""TANet: a 2-D network whose temporal kernels are computed from the clip (https://arxiv.org/abs/2005.06803)."""
