"""Accuracy of a bundle on labelled clips, in any runtime and precision, beside PyTorch's."""
