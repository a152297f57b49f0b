"""What can be known of a run of `quantize` before any work: where its graphs are judged, and by which clips."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from x3ddeploy.calibration.choice import ClipSets, choose_clips, random_clips
from x3ddeploy.contract import Contract
from x3ddeploy.errors import MissingRequirementError, UsageError
from x3ddeploy.precision.request import Request
from x3ddeploy.precision.targets import TargetPrecision, target_named
from x3ddeploy.runtimes.registry import RUNTIMES, Execution, graph_runtimes, require, unsupported
from x3ddeploy.terms import Precision


@dataclass(frozen=True)
class Ready:
    """A request that can be met, as far as can be said before.

    Attributes:
        target: the runtime that the graphs are for.
        judges: where graphs of each precision are judged.
        clips: clips that calibrate and that judge, where there are any.
    """

    target: TargetPrecision
    judges: dict[Precision, Execution]
    clips: ClipSets | None


def make_ready(target: str, contract: Contract, request: Request) -> Ready:
    """Check a request against the network, its clips and the runtimes that are here; no graph is looked at.

    Args:
        target: name of the runtime that the network's graphs are lowered for.
        contract: what the network takes and gives.
        request: what is to be made.

    Raises:
        UsageError: the target has no such precision, the runtime that is to judge does not compute it, or there are
            no clips to calibrate with.
        DataError: clips cannot be read, or calibration clips show what is judged.
        MissingRequirementError: the runtime that judges is not installed.
    """
    found = target_named(target)
    if Precision.BF16 in request.precisions and not found.bf16:
        raise UsageError(
            f"graphs for {target} have no bfloat16 form",
            hint="export with --target openvino or tensorrt, or use --fp16",
        )
    judges = {precision: _judge(precision, request, found) for precision in request.precisions}
    return Ready(found, judges, _choose(contract, request))


def _judge(precision: Precision, request: Request, target: TargetPrecision) -> Execution:
    """The runtime that was asked for, else the target's, else the first that is here and computes the precision."""
    if request.runtime is not None or request.device is not None:
        name = request.runtime or target.runtime
        require(name, request.device)
        execution = Execution(name, request.device or RUNTIMES[name].default_device, precision)
        if RUNTIMES[name].builds_engines:
            raise UsageError(
                f"{name} runs engines, and graphs are to be judged",
                hint="x3ddeploy verify judges the engines that build-trt makes of them",
            )
        if problem := unsupported(execution):
            raise UsageError(problem, hint="--runtime and --device name another")
        return execution
    usual = Execution(target.runtime, RUNTIMES[target.runtime].default_device, precision)
    if not unsupported(usual):
        require(usual.runtime)
        return usual
    for name in graph_runtimes():
        other = Execution(name, RUNTIMES[name].default_device, precision)
        if not unsupported(other):
            return other
    able = [name for name in RUNTIMES if not unsupported(Execution(name, RUNTIMES[name].default_device, precision))]
    hint = " or ".join(RUNTIMES[name].install for name in able)
    raise MissingRequirementError(f"no runtime is installed that computes {precision}", hint=hint)


def _choose(contract: Contract, request: Request) -> ClipSets | None:
    if request.random:
        return random_clips(contract, request.recipe)
    if request.recipe.data is not None:
        return choose_clips(request.recipe, contract)
    require_clips(request.precisions)
    return None


def require_clips(precisions: Collection[Precision]) -> None:
    """Raise UsageError where one of the precisions is calibrated: said where there are no clips."""
    if Precision.INT8 in precisions:
        raise UsageError(
            "INT8 needs clips to calibrate with",
            hint="--calib PATH names a data set, an annotation pickle, a folder of .npz files or a script; "
            "--calib-random makes clips up, and marks the result as such",
        )
