"""A checkpoint file to a network that can be exported: read, understand, adjust the clip, fill in the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from x3ddeploy.bundle import Source
from x3ddeploy.checkpoint.config import read_config_text
from x3ddeploy.checkpoint.reader import read_checkpoint
from x3ddeploy.errors import CheckpointError, UsageError
from x3ddeploy.families.two_stream_x3d.checkpoint.resolve import CHECKPOINT_CONFIG, read_override, resolve_spec
from x3ddeploy.families.two_stream_x3d.recognizer import EQUAL_FUSION, TwoStreamX3D
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec
from x3ddeploy.files import read_text
from x3ddeploy.text import escaped


@dataclass(frozen=True)
class ClipOverride:
    """What of a clip's extent the user sets; None leaves what the model was trained with.

    Attributes:
        frames: of the RGB clip.
        pose_frames: of the heatmap clip.
        size: height and width of the RGB frames in pixels; the heatmaps' follow by their scaling.
    """

    frames: int | None = None
    pose_frames: int | None = None
    size: tuple[int, int] | None = None

    def applied(self, spec: ModelSpec) -> tuple[ModelSpec, list[str]]:
        """The changed spec, and the dotted names of the values that were set."""
        rgb, pose, changed = spec.rgb_input, spec.pose_input, []
        if self.frames is not None:
            rgb = replace(rgb, frames=self.frames)
            changed.append("rgb_input.frames")
        if self.pose_frames is not None:
            pose = replace(pose, frames=self.pose_frames)
            changed.append("pose_input.frames")
        if self.size is not None:
            height, width = self.size
            rgb = replace(rgb, height=height, width=width)
            # GeneratePoseTarget rounds the scaled size to the nearest integer.
            heat_height, heat_width = (int(side * pose.scaling + 0.5) for side in self.size)
            pose = replace(pose, height=heat_height, width=heat_width)
            changed += ["rgb_input.height", "rgb_input.width", "pose_input.height", "pose_input.width"]
        return replace(spec, rgb_input=rgb, pose_input=pose), changed


@dataclass(frozen=True)
class Loaded:
    """A network with its weights, in evaluation mode, and what is known of it.

    Attributes:
        origins: dotted name of each value of the spec -> where it came from.
        labels: class names, where the checkpoint carries as many as it has classes.
        notes: what the reader did or met.
    """

    network: TwoStreamX3D
    source: Source
    origins: Mapping[str, str]
    labels: tuple[str, ...] | None
    notes: tuple[str, ...]


def load_network(
    path: Path,
    *,
    config: str | None = None,
    clip: ClipOverride | None = None,
    fusion: tuple[float, float] = EQUAL_FUSION,
    ema: bool = False,
    trust: bool = False,
) -> Loaded:
    """Read a checkpoint and build the network that its weights are of.

    Args:
        path: the `.pth` file.
        config: a preset's name or a config file, for what the checkpoint does not carry.
        clip: changes to the clip's extent.
        fusion: weights of the RGB and the pose stream in the fused scores.
        ema: take the checkpoint's other copy of the weights.
        trust: execute what the file asks for beyond weights.

    Raises:
        CheckpointError: the file cannot be read, trusted or understood; the message says what to do.
    """
    checkpoint = read_checkpoint(path, trust=trust, ema=ema)
    text = checkpoint.config_text
    resolved = resolve_spec(
        checkpoint.state_dict,
        read_config_text(text, CHECKPOINT_CONFIG) if text else None,
        read_override(config) if config else None,
    )
    spec, changed = (clip or ClipOverride()).applied(resolved.spec)
    network = TwoStreamX3D(spec, fusion).eval()
    missing, unexpected = network.load_state_dict(resolved.state_dict, strict=False)
    lost = [key for key in missing if not key.endswith(".num_batches_tracked")] + unexpected
    if lost:
        raise CheckpointError(f"{path}: weights without a place in the network", details=lost)
    notes = [*checkpoint.notes, *resolved.notes]
    labels = checkpoint.class_names
    if labels is not None and len(labels) != spec.head.classes:
        notes.append(f"ignored {len(labels)} class names: the head has {spec.head.classes} classes")
        labels = None
    return Loaded(
        network=network,
        source=Source(path.name, checkpoint.sha256, checkpoint.epoch),
        origins={**resolved.origins, **dict.fromkeys(changed, "option")},
        labels=labels,
        notes=tuple(notes),
    )


def read_labels(path: Path, classes: int) -> tuple[str, ...]:
    """Class names from a text file, one a line.

    Raises:
        UsageError: it cannot be read, or has another number of lines than there are classes.
    """
    try:
        names = tuple(line.strip() for line in read_text(path).split("\n") if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read the labels {path}: {reason}", hint="--labels names a UTF-8 text file") from error
    unfit = [repr(name) for name in names if escaped(name) != name]
    if unfit:
        raise UsageError(f"{path} has labels with control characters", details=unfit[:5], hint="write them as text")
    if len(names) != classes:
        raise UsageError(f"{path} has {len(names)} labels, and the head has {classes} classes")
    return names
