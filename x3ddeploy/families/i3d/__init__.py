"""I3D: a ResNet inflated to 3-D, with or without non-local blocks."""
