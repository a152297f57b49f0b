"""A family of recognizers that MMAction2's registered classes build; a concrete one says which, and what it is fed.

MMAction2 is needed where a network is built: to export, and for the torch runtime. A bundle is run without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from x3ddeploy.checkpoint.config import CHECKPOINT_CONFIG, is_absent, lookup, read_config_file
from x3ddeploy.checkpoint.rules import shown
from x3ddeploy.contract import Activation, Average, Contract, Input, InputKind
from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.base import LoweredPart, Trained, Wishes
from x3ddeploy.families.mmaction import pipeline
from x3ddeploy.families.mmaction.inputs import frames_input, heatmaps_input
from x3ddeploy.families.mmaction.model import (
    BACKBONE,
    contract_of,
    equal_fusion,
    inputs_of,
    packed_inputs,
    unpacked,
    values_of,
)
from x3ddeploy.families.mmaction.training_config import Config, Described, described, module_type, pipeline_types
from x3ddeploy.modalities import modalities_of
from x3ddeploy.terms import Target
from x3ddeploy.text import shortened

if TYPE_CHECKING:
    from torch import Tensor, nn

    from x3ddeploy.families.mmaction.building import Classes
    from x3ddeploy.families.mmaction.network import MMActionNetwork
    from x3ddeploy.families.network import Network
    from x3ddeploy.lowering.rewrite import Rewrite

_LISTED = 12
# Recognizers that hand `model.test_cfg.fcn_test` on to their heads; with the others it is of no effect.
_HAND_ON = ("Recognizer2D", "Recognizer3D")
# Weights that modules may register while they are built, against those that there are: some are registered twice.
_TWICE, _MORE = 2, 1000
_COLOURS = 3
_AVERAGES = (None, Average.PROB.value, Average.SCORE.value)
_WEIGHTS, _OPTION = "weights", "option"


class MMActionFamily:
    """See `x3ddeploy.families.base.Family`.

    Attributes:
        recognizers, backbones, necks, heads: classes of MMAction2's that make such a network.
        kinds: what it is fed.
        features: names of what goes from the backbone to the head.
        fcn_test: whether its heads compute something else where `model.test_cfg` asks them for it.
        swallowed: class -> pattern of arguments that it takes by `**kwargs` without handing them to a base.
        scored: names of the logits that the deployed score weighs; empty for all.
        training_only: prefixes of weights that serve training only.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    presets: Collection[str] = ()
    prefixes: ClassVar[tuple[str, ...]] = ("backbone.", "neck.", "cls_head.")
    training: ClassVar[tuple[str, ...]] = ()

    recognizers: ClassVar[tuple[str, ...]] = ("Recognizer3D",)
    backbones: ClassVar[tuple[str, ...]]
    necks: ClassVar[tuple[str, ...]] = ()
    heads: ClassVar[tuple[str, ...]] = ("I3DHead",)
    kinds: ClassVar[frozenset[InputKind]] = frozenset({InputKind.FRAMES})
    features: ClassVar[tuple[str, ...]] = ("feat",)
    fcn_test: ClassVar[bool] = True
    swallowed: ClassVar[Mapping[str, str]] = {}
    scored: ClassVar[tuple[str, ...]] = ()
    training_only: ClassVar[tuple[str, ...]] = ()

    def claims(self, keys: Collection[str], config: Mapping[str, Any] | None) -> bool:
        classes = (("", self.recognizers), ("backbone", self.backbones), ("cls_head", self.heads))
        return (
            all(module_type(config, part) in known for part, known in classes)
            and module_type(config, "neck") in (self.necks or ("",))
            and _fed(config or {}) == self.kinds
        )

    # What a concrete family may say otherwise.

    def inputs(self, said: Described, wishes: Wishes, channels: int) -> dict[str, Input]:
        """What the network is fed.

        Args:
            said: what the config says.
            wishes: what the user asked for.
            channels: number of channels that the backbone takes.

        Raises:
            CheckpointError: the test pipeline does not say it, or says what is not understood.
            UsageError: a wish is none that this network can fulfil.
        """
        made = {}
        if InputKind.FRAMES in self.kinds:
            if self.kinds == {InputKind.FRAMES} and channels != _COLOURS:
                raise CheckpointError(
                    f"its backbone takes {channels} channels, and frames have {_COLOURS}",
                    hint="networks on optical flow are not exported: nothing here computes it",
                )
            flat = said.recognizer == "Recognizer2D"
            made[pipeline.FRAMES_INPUT] = frames_input(said, wishes, flat=flat, segments=self.segments(said))
        if InputKind.HEATMAPS in self.kinds:
            made[pipeline.HEATMAPS_INPUT] = heatmaps_input(said, wishes, channels)
        return made

    def segments(self, said: Described) -> int | None:
        """Frames that the head of a 2-D network takes together; None where it takes what the pipeline draws."""
        from x3ddeploy.families.mmaction import building

        known = building.parameters(building.class_named(said.types["cls_head"], self.own())).get("num_segments")
        found: int | None = said.modules["cls_head"].get("num_segments", known.default if known else None)
        return found

    def average(self, head: nn.Module) -> Average:
        """How a video's views are averaged, as the built head has it."""
        return Average(head.average_clips or Average.NONE.value)

    def own(self) -> Classes:
        """Classes of ours that stand for registered ones, by name."""
        return {}

    def shown(self, part: str, weights: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """Arguments of a module's class that the weights tell, and the config does not."""
        return {}

    def channels(self, backbone: Mapping[str, Any]) -> int:
        """Channels that the backbone takes, of its module in the model."""
        return channels_in(unpacked({**backbone["defaults"], **backbone["arguments"]}))

    def blocks(self, backbone: nn.Module) -> dict[str, nn.Module]:
        """Modules of the backbone that each give the one tensor that goes on, by name, in order."""
        from torch import nn

        found: dict[str, nn.Module] = {}
        for name, child in backbone.named_children():
            items = child.named_children() if isinstance(child, nn.Sequential | nn.ModuleList) else ()
            inner = {f"{name}.{key}": item for key, item in items} or {name: child}
            found |= {key: item for key, item in inner.items() if any(True for _ in item.parameters())}
        return found

    def rewrites(self, part: str, network: MMActionNetwork, target: Target) -> Iterable[Rewrite]:
        """Exact steps from the training form of a part to what is deployed; modules keep their names."""
        return ()

    # What the toolchain asks.

    def load(self, weights: Mapping[str, Tensor], config: Config | None, wishes: Wishes) -> Trained:
        from x3ddeploy.families.mmaction import building

        self.require()  # before classes of the family's own, which stand on MMAction2's
        origin = CHECKPOINT_CONFIG
        notes: tuple[str, ...] = ()
        if config is None or "model" not in config:
            assert wishes.config is not None  # else no family of these had claimed the weights
            config, origin = read_config_file(Path(wishes.config)), f"config {wishes.config}"
        elif wishes.config is not None:
            notes = (f"the checkpoint carries its own config; {wishes.config} is not looked at",)
        said = described(config, origin)
        modules: dict[str, Any] = {}
        origins = {"recognizer": origin}
        for part, arguments in said.modules.items():
            kind = said.types[part]
            told = {key: value for key, value in self.shown(part, weights).items() if key not in arguments}
            modules[part], owners = building.resolved(
                kind, {**arguments, **told}, f"model.{part}", self.swallowed.get(kind, ""), self.own()
            )
            origins |= {f"{part}.{key}": origin for key in ("type", *arguments)}
            origins |= {f"{part}.{key}": _WEIGHTS for key in told}
            origins |= {f"{part}.{key}": f"default of {owner}" for key, owner in owners.items()}
        inputs = self.inputs(said, wishes, self.channels(modules["backbone"]))
        modalities_of(inputs)  # raises where a step of a pipeline is not understood
        model: dict[str, Any] = {
            "mmaction2": building.version(),
            "recognizer": said.recognizer,
            "modules": modules,
            "fcn_test": said.fcn_test and self.fcn_test and said.recognizer in _HAND_ON,
            "inputs": packed_inputs(inputs),
        }
        idle = [name for name in weights if self.training_only and name.startswith(self.training_only)]
        if idle:
            notes += (f"left out {len(idle)} weights that serve training only ({', '.join(self.training_only)})",)
        used = {name: value for name, value in weights.items() if name not in idle}
        most = _TWICE * len(used) + _MORE
        _require_alike(building.weights_of(model, most, self.own()), used, self.title)
        built = building.build(model, self.own())
        head: Any = built["cls_head"]
        if head.average_clips not in _AVERAGES:
            raise CheckpointError(
                f"model.cls_head.average_clips = {shown(head.average_clips)}: MMAction2 averages by 'prob' or 'score'",
                hint="None stands for neither",
            )
        model |= self._outputs(model, built)
        model["scored"] = list(self.scored or model["logits"])
        model["average"] = self.average(head).value
        model["activation"] = (Activation.SIGMOID if getattr(head, "multi_class", False) else Activation.SOFTMAX).value
        network = self._network(model, wishes.fusion or equal_fusion(model), built)
        network.load_state_dict(used, strict=False)
        origins |= dict.fromkeys(("classes", "activation"), origins.get("cls_head.num_classes", origin))
        owner = building.parameters(type(head)).get("average_clips")
        given = "average_clips" in said.modules["cls_head"]
        origins["average"] = origin if given or owner is None else f"default of {owner.owner}"
        wished = {"shape": (wishes.frames, wishes.pose_frames, wishes.size) != (None, None, None)}
        origins |= {
            key: _OPTION if wished.get(key.rpartition(".")[2]) else origin
            for key in values_of(model)
            if key.partition(".")[0] in inputs
        }
        return Trained(network, origins, notes)

    def contract(self, model: Mapping[str, Any], fusion: tuple[float, ...], batch: int | None) -> Contract:
        return contract_of(self.name, model, fusion, batch)

    def build(self, model: Mapping[str, Any], fusion: tuple[float, ...]) -> Network:
        from x3ddeploy.families.mmaction import building

        self.require()
        return self._network(model, fusion, building.build(model, self.own()))

    def require(self) -> None:
        from x3ddeploy.mmaction_compat import import_registry

        import_registry()

    def lower(self, network: Network, target: Target) -> dict[str, LoweredPart]:
        from x3ddeploy.families.mmaction.network import MMActionNetwork

        assert isinstance(network, MMActionNetwork)
        lowered = {}
        for part in network.contract().pieces:
            form = network.piece(part)
            for rewrite in self.rewrites(part, network, target):
                form = rewrite.apply(form)
            blocks = tuple(f"backbone.{name}" for name in self.blocks(network.get_submodule("backbone")))
            lowered[part] = LoweredPart(form, blocks if part == BACKBONE else (), path="")
        return lowered

    def restore(self, model: Mapping[str, Any], fusion: tuple[float, ...], weights: Mapping[str, Tensor]) -> Network:
        from x3ddeploy.families.mmaction.restore import fill

        network = self.build(model, fusion)
        fill(network, weights)
        return network

    def values(self, model: Mapping[str, Any]) -> dict[str, str]:
        return values_of(model)

    def _network(
        self, model: Mapping[str, Any], fusion: tuple[float, ...], built: Mapping[str, nn.Module]
    ) -> MMActionNetwork:
        from x3ddeploy.families.mmaction.network import MMActionNetwork

        return MMActionNetwork(self.name, model, fusion, built, self.blocks).eval()

    def _outputs(self, model: Mapping[str, Any], built: Mapping[str, nn.Module]) -> dict[str, Any]:
        """Features and logits with their shapes, found out without computing anything."""
        from x3ddeploy.families.mmaction.shapes import shapes_of

        clips = {name: value.clip_shape for name, value in inputs_of(model).items()}
        return shapes_of(model, built, clips, self.features)


def channels_in(arguments: Any, place: str = "model.backbone") -> int:
    """Channels that the arguments of a backbone say it takes. Raises CheckpointError where they say no such number."""
    found = arguments.get("in_channels", _COLOURS) if isinstance(arguments, Mapping) else None
    if type(found) is not int or found < 1:
        raise CheckpointError(
            f"{place}.in_channels is no number of channels: {shown(found)}",
            hint="frames have 3, heatmaps one for each joint or limb",
        )
    return found


def _fed(config: Config) -> frozenset[InputKind]:
    """What a network is fed: by its test pipeline; where that cannot be read, and will be asked for, its channels."""
    steps, recognizer = pipeline_types(config), module_type(config, "")
    if steps or recognizer == "MMRecognizer3D":
        return pipeline.kinds_fed(steps or ("MMDecode", pipeline.DRAW))
    if recognizer == "RecognizerGCN":
        return frozenset({InputKind.SKELETON})
    channels = lookup(config, "model.backbone.in_channels")
    return frozenset({InputKind.FRAMES if is_absent(channels) or channels == 3 else InputKind.HEATMAPS})


def _require_alike(known: Mapping[str, Tensor], weights: Mapping[str, Tensor], title: str) -> None:
    """Raise CheckpointError where weights are missing, unexpected or of another shape; one error lists all three."""
    expected = {name: value for name, value in known.items() if not name.endswith(".num_batches_tracked")}
    lines = [
        *(f"missing: {name}" for name in expected if name not in weights),
        *(f"unexpected: {name}" for name in weights if name not in expected),
        *(
            f"of another shape: {name}: {tuple(weights[name].shape)} where {tuple(value.shape)} is expected"
            for name, value in expected.items()
            if name in weights and weights[name].shape != value.shape
        ),
    ]
    if lines:
        raise CheckpointError(
            f"the weights are not those of the {title} network that the config describes: {len(lines)} differences",
            details=shortened(lines, _LISTED),
            hint="give the config that this very checkpoint was trained with",
        )
