"""Ranges of activations from clips: streaming statistics, methods, the cache."""
