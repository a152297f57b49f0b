"""C3D: plain 3-D convolutions and two fully connected layers."""
