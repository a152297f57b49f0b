"""The recognizer in PyTorch, in the forms that people use: eager, channels_last, compiled, lowered and compiled."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from x3ddeploy.bench.competitor import Feeds, Loaded
from x3ddeploy.errors import MissingRequirementError, X3DDeployError
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.lowering.strategy import lower, strategy_for
from x3ddeploy.runtimes.base import Array

EAGER = "eager"
FORMS = {
    EAGER: "training form, eager",
    "channels_last": "training form, eager, channels_last_3d",
    "compile": "training form, torch.compile",
    "compile-lowered": "lowered network, torch.compile",
}
DEVICES = {"torch": "cpu", "torch-cuda": "cuda"}

Forward = Callable[[dict[str, Tensor]], Mapping[str, Tensor]]


def load_form(network: TwoStreamX3D, form: str, runtime: str, target: str, feeds: Feeds) -> Loaded:
    """One form on one device.

    Args:
        network: training form, in evaluation mode, on the CPU; it is left as it is.
        form: of FORMS.
        runtime: of DEVICES.
        target: lowering target of the lowered form.
        feeds: a batch.

    Raises:
        MissingRequirementError: PyTorch sees no GPU.
        X3DDeployError: torch.compile fails, for want of a C++ compiler for example.
    """
    device = require_device(runtime)
    chosen: nn.Module = _lowered(network, target) if form == "compile-lowered" else copy.deepcopy(network)
    chosen = chosen.eval().to(device)
    layout = torch.contiguous_format
    if form == "channels_last":
        layout = torch.channels_last_3d
        chosen.to(memory_format=layout)  # type: ignore[call-overload]
    forward = _compiled(chosen) if form.startswith("compile") else chosen
    return on_torch(f"two-stream X3D, {FORMS[form]}", lambda values: forward(**values), runtime, feeds, layout)


def on_torch(
    network: str,
    forward: Forward,
    runtime: str,
    feeds: Feeds,
    layout: torch.memory_format = torch.contiguous_format,
) -> Loaded:
    """A forward pass as something to time; inputs are brought into `layout` before `compute` begins.

    Args:
        network: what computes, for people.
        forward: takes tensors by name.
        runtime: of DEVICES.
        feeds: a batch.
        layout: memory format of the inputs.
    """
    device = require_device(runtime)

    def load(values: Feeds) -> dict[str, Tensor]:
        return {
            name: torch.from_numpy(value).to(device).contiguous(memory_format=layout) for name, value in values.items()
        }

    ready = load(feeds)

    def resident() -> None:
        with torch.inference_mode():
            forward(ready)
        if device == "cuda":
            torch.cuda.synchronize()

    def infer(values: Feeds) -> dict[str, Array]:
        with torch.inference_mode():
            return {name: value.cpu().numpy() for name, value in forward(load(values)).items()}

    return Loaded(
        network=network,
        runtime=runtime,
        version=torch.__version__,
        device="cpu" if device == "cpu" else torch.cuda.get_device_name(),
        precision="fp32",
        feeds=feeds,
        infer=infer,
        resident=resident,
    )


def require_device(runtime: str) -> str:
    """PyTorch's name of the device of a runtime. Raises MissingRequirementError where PyTorch has no such device."""
    device = DEVICES[runtime]
    if device == "cuda" and not torch.cuda.is_available():
        raise MissingRequirementError(
            f"PyTorch {torch.__version__} sees no GPU",
            hint="a build of PyTorch with CUDA, on a machine with an NVIDIA GPU",
        )
    return device


def _lowered(network: TwoStreamX3D, target: str) -> TwoStreamX3D:
    lowered, strategy = copy.deepcopy(network), strategy_for(target)
    frames = {"rgb": network.spec.rgb_input.frames, "pose": network.spec.pose_input.frames}
    for stream, count in frames.items():
        name = f"{stream}_backbone"
        setattr(lowered, name, lower(lowered.get_submodule(name), count, strategy))  # type: ignore[arg-type]
    return lowered


def _compiled(network: nn.Module) -> Callable[..., Mapping[str, Tensor]]:
    """By torch.compile, which compiles when it is first run; its failure is an error of ours."""
    logging.getLogger("torch._inductor").setLevel(logging.ERROR)
    compiled = torch.compile(network, dynamic=False)

    def forward(**values: Tensor) -> Mapping[str, Tensor]:
        try:
            outputs: Mapping[str, Tensor] = compiled(**values)
        except Exception as error:
            first = str(error).strip().splitlines()[0][:200]
            raise X3DDeployError(f"torch.compile failed: {first}", hint="it needs a C++ compiler (g++)") from error
        return outputs

    return forward
