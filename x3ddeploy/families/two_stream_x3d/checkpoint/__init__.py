"""What a checkpoint of the two-stream recognizer says: its weights, its training config, and where they differ."""

from x3ddeploy.families.two_stream_x3d.checkpoint.layout import expected_shapes
from x3ddeploy.families.two_stream_x3d.checkpoint.resolve import (
    Override,
    Resolved,
    read_override,
    resolve_spec,
)

__all__ = ["Override", "Resolved", "expected_shapes", "read_override", "resolve_spec"]
