"""A bundle in other people's programs: the C++ runtime's package, and a Triton model repository."""
