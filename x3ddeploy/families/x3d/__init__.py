"""X3D: a mobile 3-D network with squeeze-and-excitation."""
