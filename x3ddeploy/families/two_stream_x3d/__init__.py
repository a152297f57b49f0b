"""The two-stream X3D temporal-shift recognizer: RGB frames and keypoint heatmaps."""
