"""SlowFast: a slow pathway that sees space and a fast one that sees motion."""
