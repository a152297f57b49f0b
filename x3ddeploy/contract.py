"""What a bundle says of its network, in data: inputs, parts, outputs and scores. Stages read it, and no family."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from x3ddeploy.errors import BundleError

# Axes of any size, by their names in graphs: clips, and persons in keypoints.
BATCH_AXIS, PERSONS_AXIS = "N", "M"
# The part that is all others in one graph; a network that is not cut has no other.
WHOLE = "recognizer"
# Far over any network of this kind, and small enough for products of a few sizes to stay inside 64 bits.
LARGEST_SIZE = 1 << 14
LARGEST_CLIP = 1 << 31  # values of one clip's input: 8 GiB of float32

Shape = tuple[int | str, ...]


class InputKind(str, Enum):
    """What an input tensor holds; its axes after the clips' axis.

    FRAMES: (3, T, H, W), or (T, 3, H, W) where the network is 2-D. HEATMAPS: (K, T, H, W). SKELETON: (M, T, V, C).
    """

    FRAMES = "frames"
    HEATMAPS = "heatmaps"
    SKELETON = "skeleton"


class OutputKind(str, Enum):
    """What an output tensor holds: features of a backbone, logits (N, classes), or probabilities (N, classes)."""

    FEATURES = "features"
    LOGITS = "logits"
    SCORES = "scores"


class Activation(str, Enum):
    """What makes probabilities of logits."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"


class Average(str, Enum):
    """How the views of one video are averaged, in MMAction2's words: probabilities, logits, or not at all."""

    PROB = "prob"
    SCORE = "score"
    NONE = "none"


@dataclass(frozen=True)
class Transform:
    """One step of the test pipeline that an input went through: MMAction2's name and its literal parameters."""

    type: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Views:
    """How many views of one video are scored; each is one row of N.

    Attributes:
        clips: clips along the time.
        crops: crops of a frame.
        flip: whether each is seen mirrored as well.
    """

    clips: int = 1
    crops: int = 1
    flip: bool = False

    @property
    def count(self) -> int:
        """Rows of N that one video takes."""
        return self.clips * self.crops * (2 if self.flip else 1)


@dataclass(frozen=True)
class Input:
    """One input tensor of the network.

    Attributes:
        shape: N first, as a number where it is fixed, else 'N'.
        pipeline: how a video or a skeleton becomes this tensor.
        keypoint_order: 'coco17', or 'dataset' where the order is that of the annotations; for heatmaps and skeletons.
    """

    kind: InputKind
    shape: Shape
    pipeline: tuple[Transform, ...]
    views: Views = Views()
    dtype: str = "float32"
    keypoint_order: str | None = None

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """The shape of one clip, without N."""
        return tuple(int(size) for size in self.shape[1:])

    def transform(self, type_: str) -> Transform | None:
        """The step of that name, where the pipeline has it."""
        return next((step for step in self.pipeline if step.type == type_), None)


@dataclass(frozen=True)
class Block:
    """A stretch of a part that can be judged alone: its name and the tensor that it ends in."""

    name: str
    tensor: str


@dataclass(frozen=True)
class Part:
    """One graph of the bundle.

    Attributes:
        inputs, outputs: names of tensors.
        blocks: names of the blocks, in the order of the network.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Output:
    """One tensor that a part gives.

    Attributes:
        activation: what makes probabilities of it, for logits.
        average: over the views of a video.
    """

    kind: OutputKind
    shape: Shape
    activation: Activation | None = None
    average: Average = Average.NONE


@dataclass(frozen=True)
class Score:
    """A way to score classes: the weighted mean of the probabilities that some logits give.

    Attributes:
        weights: name of the logits -> weight.
    """

    weights: dict[str, float]

    def shares(self) -> dict[str, float]:
        """The weights, summing to one."""
        total = sum(self.weights.values())
        return {name: weight / total for name, weight in self.weights.items()}


@dataclass(frozen=True)
class Contract:
    """Everything that a stage, the C++ runtime or a server needs to know of a network.

    Attributes:
        family: name of one of `x3ddeploy.families.known_families`.
        inputs: tensors that the network takes, by name.
        parts: the graphs; the order of work follows from the names of their tensors.
        outputs: every tensor that a part gives, by name.
        scores: ways to score, by name.
        deployed: the one that the network's `scores` output holds.

    Raises:
        BundleError: a part takes what nothing gives, tensors go round in a circle, a score is of what is no logits, a
            size or a weight is out of bounds.
    """

    family: str
    inputs: dict[str, Input]
    parts: dict[str, Part]
    outputs: dict[str, Output]
    scores: dict[str, Score]
    deployed: str

    def __post_init__(self) -> None:
        problems = [*self._tensor_problems(), *self._score_problems(), *self._shape_problems()]
        if problems:
            raise BundleError("the description of the network contradicts itself", details=problems)
        _ = self.waves  # fails where parts wait for each other

    @property
    def batch(self) -> int | None:
        """The fixed number of clips, None where it is dynamic."""
        first = next(iter(self.inputs.values())).shape[0]
        return first if isinstance(first, int) else None

    @property
    def fusion(self) -> tuple[float, ...]:
        """Weights of the logits in the deployed score, in its order."""
        return tuple(self.scores[self.deployed].weights.values())

    @property
    def classes(self) -> int:
        """How many classes the deployed score has."""
        return int(self.outputs[next(iter(self.scores[self.deployed].weights))].shape[1])

    @property
    def pieces(self) -> tuple[str, ...]:
        """The parts that together do the work of the whole, in their order; the whole itself where it is not cut."""
        return tuple(name for name in self.parts if name != WHOLE) or (WHOLE,)

    @property
    def waves(self) -> tuple[tuple[str, ...], ...]:
        """The pieces by when they can run: what stands in one wave needs nothing of each other."""
        waves: list[tuple[str, ...]] = []
        known, waiting = set(self.inputs), list(self.pieces)
        while waiting:
            ready = tuple(name for name in waiting if known.issuperset(self.parts[name].inputs))
            if not ready:
                raise BundleError("the parts of the network wait for each other", details=waiting)
            waves.append(ready)
            known.update(tensor for name in ready for tensor in self.parts[name].outputs)
            waiting = [name for name in waiting if name not in ready]
        return tuple(waves)

    @property
    def backbones(self) -> tuple[str, ...]:
        """The pieces that take the network's own inputs alone."""
        return tuple(name for name in self.pieces if set(self.parts[name].inputs) <= set(self.inputs))

    @property
    def logits(self) -> dict[str, str]:
        """The scores of one set of logits each -> that tensor's name: the streams, where there are several."""
        single = {name: next(iter(score.weights)) for name, score in self.scores.items() if len(score.weights) == 1}
        return single or {self.deployed: next(iter(self.scores[self.deployed].weights))}

    def input_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the inputs for a number of clips."""
        return {name: (batch, *value.clip_shape) for name, value in self.inputs.items()}

    def of_kind(self, kind: InputKind) -> dict[str, Input]:
        """The inputs of a kind, by name."""
        return {name: value for name, value in self.inputs.items() if value.kind is kind}

    def _tensor_problems(self) -> Iterable[str]:
        if not self.inputs or WHOLE not in self.parts:
            yield f"at least one input and the part {WHOLE!r} are needed"
        given = set(self.inputs).union(*(part.outputs for part in self.parts.values()))
        for name, part in self.parts.items():
            yield from (
                f"{name} takes {tensor!r}, which nothing gives" for tensor in part.inputs if tensor not in given
            )
            yield from (
                f"{name} gives {tensor!r}, which is not described"
                for tensor in part.outputs
                if tensor not in self.outputs
            )
        if WHOLE in self.parts and not set(self.parts[WHOLE].inputs) <= set(self.inputs):
            yield f"{WHOLE} takes more than the network's inputs"

    def _score_problems(self) -> Iterable[str]:
        if self.deployed not in self.scores:
            yield f"the deployed score {self.deployed!r} is none of {', '.join(self.scores) or 'none'}"
        for name, score in self.scores.items():
            if not _is_weighting(score.weights):
                yield f"score {name!r}: weights {score.weights} are not finite, negative, or all zero"
            for tensor in score.weights:
                output = self.outputs.get(tensor)
                if output is None or output.kind is not OutputKind.LOGITS or len(output.shape) != 2:
                    yield f"score {name!r} is of {tensor!r}, which is no logits"

    def _shape_problems(self) -> Iterable[str]:
        shapes = {name: value.shape for name, value in self.inputs.items()}
        shapes |= {name: value.shape for name, value in self.outputs.items()}
        for name, shape in shapes.items():
            rest = all(isinstance(size, int) and size > 0 for size in shape[1:])
            if (
                len(shape) < 2
                or not rest
                or not (shape[0] == BATCH_AXIS or (isinstance(shape[0], int) and shape[0] > 0))
            ):
                yield f"{name}: shape {list(shape)}"
        if len({shape[0] for shape in shapes.values() if shape}) > 1:
            yield "tensors of different numbers of clips"
        classes = {output.shape[1:] for output in self.outputs.values() if output.kind is OutputKind.SCORES}
        if len(classes) > 1:
            yield "scores of different numbers of classes"


def _is_weighting(weights: Mapping[str, float]) -> bool:
    finite = all(math.isfinite(weight) and weight >= 0 for weight in weights.values())
    return finite and sum(weights.values()) > 0
