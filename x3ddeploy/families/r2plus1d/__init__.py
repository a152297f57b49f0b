"""R(2+1)D: 3-D convolutions as one over space and one over time."""
