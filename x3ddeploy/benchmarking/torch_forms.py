"""The recognizer in PyTorch, in the forms that people use: eager, channels_last, compiled, lowered and compiled."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from x3ddeploy import __version__
from x3ddeploy.benchmarking.competitor import OpenedNetwork
from x3ddeploy.benchmarking.compiled import AOT_INDUCTOR, TORCH_COMPILE, Compiled
from x3ddeploy.benchmarking.workbench import Workbench
from x3ddeploy.contract import WHOLE
from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.families import family_named
from x3ddeploy.families.network import Network
from x3ddeploy.machine import cpu_info, cpu_model
from x3ddeploy.runtimes.base import Array, Feeds
from x3ddeploy.runtimes.torch_session import allow_tf32
from x3ddeploy.terms import Target

EAGER = "eager"
FORMS = {
    EAGER: "training form, eager",
    "channels_last": "training form, eager, channels_last",
    "tf32": "training form, eager, channels_last, products in TF32",
    "compile": "training form, torch.compile",
    "compile-lowered": "lowered network, torch.compile",
    "aot": "training form, AOTInductor",
    "aot-lowered": "lowered network, AOTInductor",
}
COMPILERS = {"compile": TORCH_COMPILE, "aot": AOT_INDUCTOR}
DEVICES = {"torch": "cpu", "torch-cuda": "cuda"}
TF32 = "tf32"  # a precision of its own: 10 bits of mantissa; only where it is asked for by name

Forward = Callable[[dict[str, Tensor]], Mapping[str, Tensor]]


def load_form(bench: Workbench, form: str, runtime: str) -> OpenedNetwork:
    """One form of a bundle's network on one device.

    Args:
        bench: its network, which is left as it is, and a batch.
        form: one of FORMS.
        runtime: one of DEVICES.

    Raises:
        MissingRequirementError: PyTorch sees no GPU.
        X3DDeployError: a compiler fails, for want of a C++ compiler for example.
    """
    device, network = require_device(runtime), bench.network
    if form == TF32 and device == "cpu":
        raise MissingRequirementError(
            "a CPU has no TF32", hint="torch-cuda/tf32, on a GPU from compute capability 8.0 on"
        )
    lowered = form.endswith("-lowered")
    chosen: nn.Module = _Lowered(network, bench.bundle.manifest.target) if lowered else copy.deepcopy(network)
    chosen = chosen.eval().to(device)
    layout = torch.contiguous_format
    if form in ("channels_last", TF32):
        layout = _channels_last(chosen)
    forward: Callable[..., Mapping[str, Tensor]] = chosen
    if compiled := compiled_form(bench, f"{runtime}/{form}"):
        inputs = {name: torch.from_numpy(value).to(device) for name, value in bench.inputs.items()}
        forward = compiled.forward(chosen, inputs, bench.progress)
    return on_torch(
        f"{bench.title}, {FORMS[form]}",
        lambda values: forward(**values),
        runtime,
        bench.inputs,
        layout,
        tf32=form == TF32,
    )


def compiled_form(bench: Workbench, name: str) -> Compiled | None:
    """The form of that name ('torch/aot'), compiled or to be; None for what no compiler of PyTorch's has a part in."""
    runtime, _, form = name.partition("/")
    compiler = COMPILERS.get(form.partition("-")[0])
    if runtime not in DEVICES or compiler is None:
        return None
    on_cpu = DEVICES[runtime] == "cpu"
    if not (on_cpu or torch.cuda.is_available()):
        return None  # loading it says what is missing
    graph = bench.bundle.part_path(WHOLE)
    shapes = {tensor: list(value.shape) for tensor, value in bench.inputs.items()}
    depends_on = (
        name,
        bench.bundle.manifest.files[graph.name].sha256,
        bench.bundle.manifest.target,
        shapes,
        __version__,
        torch.__version__,
        bench.setting.threads,
        [cpu_model(cpu_info()), cpu_info().get("flags")] if on_cpu else torch.cuda.get_device_name(),
    )
    return Compiled(name, compiler, depends_on)


def on_torch(
    network: str,
    forward: Forward,
    runtime: str,
    feeds: Feeds,
    layout: torch.memory_format = torch.contiguous_format,
    *,
    tf32: bool = False,
) -> OpenedNetwork:
    """A forward pass as something to time; inputs are brought into `layout` before `compute` begins.

    Args:
        network: what computes, for people.
        forward: takes tensors by name.
        runtime: one of DEVICES.
        feeds: a batch.
        layout: memory format of the inputs.
        tf32: whether products of float32 may be rounded to TF32, as PyTorch does by default in convolutions.
    """
    device = require_device(runtime)

    def load(values: Feeds) -> dict[str, Tensor]:
        return {
            name: torch.from_numpy(value).to(device).contiguous(memory_format=layout) for name, value in values.items()
        }

    ready = load(feeds)

    def resident() -> float | None:
        allow_tf32(tf32)
        if device == "cpu":
            with torch.inference_mode():
                forward(ready)
            return None
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        with torch.inference_mode():
            forward(ready)
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end))

    def infer(values: Feeds) -> dict[str, Array]:
        allow_tf32(tf32)
        given = load(values)  # tensors like `ready`: to torch.compile, those of inference mode are others
        with torch.inference_mode():
            return {name: value.cpu().numpy() for name, value in forward(given).items()}

    return OpenedNetwork(
        network=network,
        runtime=runtime,
        version=torch.__version__,
        device="cpu" if device == "cpu" else torch.cuda.get_device_name(),
        precision=TF32 if tf32 else "fp32",
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


def _channels_last(module: nn.Module) -> torch.memory_format:
    """Bring weights of images and of volumes into the layout with channels last; the layout that inputs are wanted in.

    Networks of images take clips as (N, T, C, H, W), whose frames their first convolution brings into its layout.
    """
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    ranks = set()
    for value in module.parameters():
        if value.dim() in layouts:
            value.data = value.data.contiguous(memory_format=layouts[value.dim()])
            ranks.add(value.dim())
    return torch.channels_last_3d if 5 in ranks else torch.contiguous_format


class _Lowered(nn.Module):
    """The pieces in their deploy form, one behind the other."""

    def __init__(self, network: Network, target: str) -> None:
        super().__init__()
        self._contract = network.contract()
        lowered = family_named(network.family).lower(network, Target(target))
        self.pieces = nn.ModuleDict({name: part.module for name, part in lowered.items()})

    def forward(self, **tensors: Tensor) -> dict[str, Tensor]:
        for wave in self._contract.waves:
            for name in wave:
                part = self._contract.parts[name]
                given = self.pieces[name](*(tensors[tensor] for tensor in part.inputs))
                tensors |= given if isinstance(given, dict) else {part.outputs[0]: given}
        return {name: tensors[name] for name in self._contract.parts[WHOLE].outputs}
