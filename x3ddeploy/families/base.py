"""What a family of networks is to the toolchain: how its checkpoints are understood, its networks built and lowered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from x3ddeploy.contract import Contract, Input
from x3ddeploy.terms import Target

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from x3ddeploy.families.network import Network


@dataclass(frozen=True)
class Wishes:
    """What the user says of a network himself; None is what it was trained with.

    Attributes:
        config: a preset's name or a config file, for what the checkpoint does not carry.
        frames: number of frames of a clip of camera frames.
        pose_frames: number of frames of a clip of heatmaps or skeletons.
        size: height and width of camera frames in pixels; heatmaps follow by their scaling.
        fusion: weights of the streams in the deployed score.
    """

    config: str | None = None
    frames: int | None = None
    pose_frames: int | None = None
    size: tuple[int, int] | None = None
    fusion: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Trained:
    """A network with its weights, in evaluation mode.

    Attributes:
        origins: dotted name of each value of its model -> where it came from.
        notes: contradictions and substitutions that the user should know.
    """

    network: Network
    origins: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class LoweredPart:
    """A part in the form that is deployed.

    Attributes:
        module: takes the part's inputs in the contract's order; gives its only output, or its outputs by name.
        blocks: names of modules in it that can be judged alone, in their order.
        path: the module's dotted name in the network, the part's where it is None; '' where its submodules have the
            names in it that they have in the network.
    """

    module: nn.Module
    blocks: tuple[str, ...] = ()
    path: str | None = None


class Joining(Protocol):
    """A family whose networks are made of several checkpoints, each one stream; see `x3ddeploy.families.JOINED`."""

    def join(self, members: Mapping[str, Trained], fusion: tuple[float, ...] | None) -> Trained:
        """One network of several.

        Args:
            members: name of a checkpoint -> its network.
            fusion: weights in the order of the checkpoints; None weighs them alike.

        Raises:
            UsageError: they cannot be streams of one network.
        """


class Baseline(Protocol):
    """A published network of random weights, which a bundle is timed against; see `x3ddeploy.families.BASELINES`."""

    @property
    def title(self) -> str:
        """Title that people read."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what the network gives, in its order."""

    def build(self, classes: int) -> nn.Module:
        """The network in evaluation mode; it takes `inputs` by name, and gives a tuple of tensors.

        Raises:
            MissingRequirementError: what it is built by is not here.
        """

    def inputs(self, batch: int, like: Mapping[str, Input]) -> dict[str, npt.NDArray[np.float32]]:
        """Random clips by the names of the network's inputs.

        Args:
            batch: clips.
            like: inputs of the bundle's network; camera frames are of the same height and width where that is possible.
        """


class Family(Protocol):
    """One kind of network. Importing it is cheap: PyTorch is imported by what needs it.

    What stands here as a property may be an attribute of the class.
    """

    @property
    def name(self) -> str:
        """Key in `x3ddeploy.families`, and what a manifest calls it."""

    @property
    def title(self) -> str:
        """Title that people read."""

    @property
    def presets(self) -> Collection[str]:
        """Names that `--config` takes beside files."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The network's weights are named so in a checkpoint; others are left out."""

    @property
    def training(self) -> tuple[str, ...]:
        """Modules that register the network's classes with MMEngine, in the scope 'x3ddeploy'."""

    def claims(self, keys: Collection[str], config: Mapping[str, Any] | None) -> bool:
        """Whether a network of this family is what a checkpoint holds, whole or damaged.

        Args:
            keys: names of its weights.
            config: the training config that it carries, or that the user names; read as literals, None for none.
        """

    def load(self, weights: Mapping[str, Tensor], config: Mapping[str, Any] | None, wishes: Wishes) -> Trained:
        """Find out which network the weights are of, and fill them in.

        Args:
            weights: float32, by their names in the checkpoint.
            config: the training config that the checkpoint carries, read as literals; None where it carries none.
            wishes: what the user asked for.

        Raises:
            CheckpointError: the weights make no network of this family, or something about it is unknown.
            UsageError: a wish is none that this family can fulfil.
        """

    def contract(self, model: Mapping[str, Any], fusion: tuple[float, ...], batch: int | None) -> Contract:
        """What a network of this model says of itself, without blocks. PyTorch is not needed for it.

        Args:
            model: as `Network.model` gave it, and JSON kept it.
            fusion: weights of the logits in the deployed score.
            batch: fixed number of clips, None for any.

        Raises:
            ValueError, X3DDeployError: the model is none of this family.
        """

    def build(self, model: Mapping[str, Any], fusion: tuple[float, ...]) -> Network:
        """A network in evaluation mode with weights of no meaning; see `contract` for the arguments."""

    def require(self) -> None:
        """Raise MissingRequirementError where the training form cannot be built here, PyTorch taken for granted."""

    def lower(self, network: Network, target: Target) -> dict[str, LoweredPart]:
        """Every piece of the network (`Contract.pieces`) in its deploy form, equal up to float rounding."""

    def restore(self, model: Mapping[str, Any], fusion: tuple[float, ...], weights: Mapping[str, Tensor]) -> Network:
        """The way back: the training form with the weights of an exported float32 graph.

        What the graph does not hold, being of one part, has weights of no meaning.

        Raises:
            BundleError: a weight is missing or of another shape.
        """

    def values(self, model: Mapping[str, Any]) -> dict[str, str]:
        """Every value of a model by its dotted name, as text for people."""
