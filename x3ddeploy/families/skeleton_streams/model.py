"""What a manifest says of several networks on one skeleton, and the contract that follows from that alone.

    streams    name of a stream -> model of its network, see `x3ddeploy.families.mmaction.model`

Neither PyTorch nor MMAction2 is needed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from x3ddeploy.contract import WHOLE, Contract, Input, Output, OutputKind, Part, Score, Transform
from x3ddeploy.errors import UsageError
from x3ddeploy.families.mmaction.model import BACKBONE, FUSED, HEAD, SCORES, contract_of
from x3ddeploy.families.mmaction.pipeline import SKELETON_INPUT

Model = Mapping[str, Any]

# MMAction2's letters for features -> what a stream of it is called.
STREAMS = {"j": "joint", "b": "bone", "jm": "joint_motion", "bm": "bone_motion"}
_FEATURES, _FEATS = "GenSkeFeat", "feats"
_MEMBER = "stgcn"


def stream_of(contract: Contract, name: str) -> str:
    """The stream that a network is.

    Raises:
        UsageError: it does not take one feature of skeletons.
    """
    step = contract.inputs[SKELETON_INPUT].transform(_FEATURES)
    feats = list(step.parameters.get(_FEATS, ["j"])) if step else []
    if len(feats) != 1 or feats[0] not in STREAMS:
        raise UsageError(
            f"{name} takes the features {', '.join(map(str, feats)) or 'as they are'}, and a stream is of one",
            hint=f"one of {', '.join(STREAMS)}, made by {_FEATURES}",
        )
    return STREAMS[feats[0]]


def joined_contract(family: str, model: Model, fusion: tuple[float, ...], batch: int | None) -> Contract:
    """What a bundle of these networks says of itself, without blocks: one skeleton in, its features side by side.

    Args:
        family: key in `x3ddeploy.families`.
        model: see above.
        fusion: weights of the streams in `scores`, in their order.
        batch: fixed number of clips, None for any.

    Raises:
        ValueError: the model lacks something.
        UsageError: the networks are not fed alike, or there are not as many weights as streams.
    """
    streams = model.get("streams")
    if not isinstance(streams, Mapping) or not streams:
        raise ValueError("not the model of streams")
    contracts = {name: contract_of(_MEMBER, member, (1.0,), batch) for name, member in streams.items()}
    if len(fusion) != len(contracts):
        raise UsageError(
            f"the deployed score is given {len(fusion)} weights, and there are {len(contracts)} streams",
            hint=f"give one weight a stream, --fusion A:B:...: {', '.join(contracts)}",
        )
    first = next(iter(contracts))
    for name, contract in contracts.items():
        if stream_of(contract, name) != name:
            raise ValueError(f"stream {name!r} takes another feature")
        unlike = _unlike(contracts[first], contract)
        if unlike:
            raise UsageError(
                f"the streams {first} and {name} differ in {unlike}", hint="train them on the same classes and clips"
            )
    outputs: dict[str, Output] = {}
    for name, contract in contracts.items():
        outputs |= {f"{name}_feat": contract.outputs["feat"], f"{name}_logits": contract.outputs["logits"]}
    logits = tuple(f"{name}_logits" for name in contracts)
    given = (*logits, SCORES)
    backbones = {f"{name}_{BACKBONE}": Part((SKELETON_INPUT,), (f"{name}_feat",)) for name in contracts}
    return Contract(
        family=family,
        inputs={SKELETON_INPUT: _side_by_side(contracts)},
        parts={
            **backbones,
            HEAD: Part(tuple(f"{name}_feat" for name in contracts), given),
            WHOLE: Part((SKELETON_INPUT,), given),
        },
        outputs={**outputs, SCORES: contracts[first].outputs[SCORES]},
        scores={
            **{name: Score({f"{name}_logits": 1.0}) for name in contracts},
            FUSED: Score(dict(zip(logits, fusion, strict=True))),
        },
        deployed=FUSED,
    )


def channels_of(model: Model) -> dict[str, tuple[int, int]]:
    """Where the channels of each stream's feature lie in the input, from and to."""
    places, start = {}, 0
    for name, member in model["streams"].items():
        count = int(member["inputs"][SKELETON_INPUT]["shape"][-1])
        places[name] = start, start + count
        start += count
    return places


def _side_by_side(contracts: Mapping[str, Contract]) -> Input:
    """The one input whose features are those of all streams, in their order."""
    inputs = [contract.inputs[SKELETON_INPUT] for contract in contracts.values()]
    feats = [letter for name in contracts for letter, stream in STREAMS.items() if stream == name]
    pipeline = tuple(
        Transform(_FEATURES, {**step.parameters, _FEATS: feats}) if step.type == _FEATURES else step
        for step in inputs[0].pipeline
    )
    channels = sum(value.clip_shape[-1] for value in inputs)
    return replace(inputs[0], shape=(*inputs[0].shape[:-1], channels), pipeline=pipeline)


def _unlike(first: Contract, other: Contract) -> str:
    """What of two networks must be alike and is not; empty where all is."""
    skeletons = [contract.inputs[SKELETON_INPUT] for contract in (first, other)]
    steps = [[_shared(step) for step in value.pipeline] for value in skeletons]
    if steps[0] != steps[1]:
        names = [[step.type for step in pipeline] for pipeline in steps]
        changed = next((one.type for one, two in zip(*steps, strict=False) if one != two), "the number of steps")
        return f"their test pipelines: {changed}" if names[0] == names[1] else "the steps of their test pipelines"
    if skeletons[0].clip_shape != skeletons[1].clip_shape or skeletons[0].views != skeletons[1].views:
        return "the shape of their clips"
    kinds = [
        [(value.shape, value.activation, value.average) for value in contract.outputs.values()
         if value.kind is not OutputKind.FEATURES] for contract in (first, other)
    ]  # fmt: skip
    return "" if kinds[0] == kinds[1] else "their classes, or how views are averaged"


def _shared(step: Transform) -> Transform:
    if step.type != _FEATURES:
        return step
    return replace(step, parameters={key: value for key, value in step.parameters.items() if key != _FEATS})
