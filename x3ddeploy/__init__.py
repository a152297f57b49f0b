"""From a trained two-stream X3D temporal-shift checkpoint to a verified deployment bundle."""

__version__ = "0.1.0"
