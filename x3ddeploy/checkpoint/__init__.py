"""Checkpoints: read safely, and resolved into a full specification with the origin of every value."""

from x3ddeploy.checkpoint.config import Unreadable, read_config_file, read_config_text
from x3ddeploy.checkpoint.inference import CHECKPOINT_CONFIG, Override, Resolved, read_override, resolve_spec
from x3ddeploy.checkpoint.layout import expected_shapes
from x3ddeploy.checkpoint.reader import Checkpoint, read_checkpoint

__all__ = [
    "CHECKPOINT_CONFIG",
    "Checkpoint",
    "Override",
    "Resolved",
    "Unreadable",
    "expected_shapes",
    "read_checkpoint",
    "read_config_file",
    "read_config_text",
    "read_override",
    "resolve_spec",
]
