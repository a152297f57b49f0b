"""Precision written into the graph: half-typed tensors, Q/DQ placement, and what they cost in accuracy."""
