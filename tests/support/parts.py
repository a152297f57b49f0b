"""Parts of the two-stream network's bundles."""

PARTS = ("rgb_backbone", "pose_backbone", "head", "recognizer")
