"""Checkpoints and training configs of any network, read safely."""

from x3ddeploy.checkpoint.config import CHECKPOINT_CONFIG, Unreadable, read_config_file, read_config_text
from x3ddeploy.checkpoint.reader import Checkpoint, read_checkpoint

__all__ = [
    "CHECKPOINT_CONFIG",
    "Checkpoint",
    "Unreadable",
    "read_checkpoint",
    "read_config_file",
    "read_config_text",
]
