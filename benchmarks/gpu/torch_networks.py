"""Original and lowered networks beside RGBPoseConv3D in PyTorch: eager, channels_last, CUDA graphs, torch.compile.

FP32 (TF32 off) and FP16, batch 1, 8 and 32. Scope `compute`: from tensors on the device to outputs on the device,
waited for on the host, wall clock. Competitors of one precision and batch run in turn, round after round. Each is
compared with the float32 original first; one that is wrong is named and not timed. Needs PyTorch and numpy, no more.

    python benchmarks/gpu/torch_networks.py [--device cuda] [--seconds 240] [--output benchmarks/results]
"""

from __future__ import annotations

import argparse
import copy
import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from forms import Form, Lowered, Original, forms
from host import Budget, first_line, gpu_state, rows_of, tell, torch_versions, write
from torch import Tensor

from x3ddeploy.machine import machine
from x3ddeploy.timing.gpu_load import gpu_load
from x3ddeploy.timing.measure import measure

GROUPS = (("fp16", 1), ("fp32", 1), ("fp16", 8), ("fp16", 32), ("fp32", 8), ("fp32", 32))
SMOKE_GROUPS = (("fp32", 1), ("fp32", 2))
_GROUP_SHARE = 0.035  # of all seconds: a fifth for the six groups, the rest for preparing and compiling
_COMPILE_S = 60.0
_WARM_UP_S = 0.5  # from an idle clock
TOLERANCE = {"fp32": 1e-3, "fp16": 5e-2}  # of an output's range; a wrong network is off by more
_TYPES = {"fp32": torch.float32, "fp16": torch.float16}

# Of a group's time, and seconds: what a run may take.
_SLOW, _SLOW_S = 12, 0.3
_COMPILED_FIRST = ("lowered frames", "original", "rgbposeconv3d", "lowered clip")

Run = Callable[[], tuple[Tensor, ...]]
Prepared = tuple[Form, torch.nn.Module, tuple[Tensor, ...]]
Executions = Callable[[Form], dict[str, Callable[..., Run]]]


@dataclass(frozen=True)
class Group:
    """Competitors that are timed in turn."""

    precision: str
    batch: int
    what: str = ""

    def __str__(self) -> str:
        return f"{self.precision}, batch {self.batch}{self.what}"


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        groups: precision and batch, those that matter most first.
        compiled: precisions to compile each network in, batch 1.
        group_s: seconds of timing for one group.
        compile_s: what a compilation may take; without that much left none is begun.
        slow_s: a run that takes longer would leave too few rounds to the others.
    """

    device: str
    preset: str
    groups: tuple[tuple[str, int], ...]
    compiled: tuple[str, ...]
    group_s: float
    compile_s: float
    slow_s: float


class Bench:
    """Measures group after group, and keeps what was measured, and what was not."""

    def __init__(self, plan: Plan, budget: Budget, keep: Callable[[Bench], None]) -> None:
        self._plan, self._budget, self._keep = plan, budget, keep
        self._is_gpu = plan.device == "cuda"
        self._forms = forms(plan.preset)
        self.rows: list[dict[str, Any]] = []
        self.absent: list[dict[str, str]] = []

    def run(self) -> None:
        for precision, batch in self._plan.groups:
            self._group(Group(precision, batch), self._forms, self._executions, 2 * self._plan.group_s)
        # A compilation takes longer than the rest together: each network is timed as soon as it is ready.
        first = sorted(self._forms, key=lambda form: _COMPILED_FIRST.index(form.name))
        for precision in self._plan.compiled:
            for form in first:
                group = Group(precision, 1, f", {form.name} compiled")
                self._group(group, [form], self._compiled, self._plan.compile_s)

    def _group(self, group: Group, chosen: list[Form], executions: Executions, needed_s: float) -> None:
        if self._budget.left_s < needed_s:
            self.absent.append({"name": str(group), "reason": "no time left in the budget"})
            return
        runs: dict[str, Callable[[], float | None]] = {}
        about: dict[str, dict[str, Any]] = {}
        for form in chosen:
            prepared = self._prepared(form, group.precision, group.batch)
            expected = self._expected(form, group.batch)
            for name, make in executions(form).items():
                label = f"{form.name}, {name}"
                try:
                    run, error = self._proven(make, prepared, expected, group)
                except Exception as fault:  # out of memory, an operation without a half form, a compiler that fails
                    self.absent.append({"name": f"{label}, {group}", "reason": first_line(fault)})
                    continue
                runs[label] = run
                about[label] = {
                    "network": form.name,
                    "execution": name,
                    "precision": group.precision,
                    "batch": group.batch,
                    "relative_error": error,
                }
        interrupted = False
        tell(f"timing {len(runs)} competitors: {group}, {self._budget.left_s:.0f} s left")
        try:
            if runs:
                seconds = min(self._plan.group_s, max(self._budget.left_s, 0))
                with gpu_load() as load:
                    measured = measure(runs, seconds, warm_up_s=_WARM_UP_S if self._is_gpu else 0.0)
                facts = {name: {**fact, "gpu_load": asdict(load[0]) if load else None} for name, fact in about.items()}
                self.rows += rows_of(measured, facts)
                interrupted = measured.interrupted
        except RuntimeError as fault:  # out of memory once all of them are there
            self.absent.append({"name": str(group), "reason": first_line(fault)})
        self._keep(self)  # what was measured stays, whatever ends this process
        if interrupted:
            raise KeyboardInterrupt
        del runs, prepared, expected
        gc.collect()
        if self._is_gpu:
            torch.cuda.empty_cache()

    def _prepared(self, form: Form, precision: str, batch: int) -> Prepared:
        network = copy.deepcopy(form.network).to(self._plan.device, _TYPES[precision])
        # Float32 at the borders whatever is computed in, as engines have it.
        inputs = tuple(value.to(self._plan.device) for value in form.inputs(batch))
        return form, network, inputs

    def _expected(self, form: Form, batch: int) -> tuple[Tensor, ...]:
        """Outputs of the float32 original; of itself in float32 for the baseline."""
        reference = self._forms[0] if form.name.startswith("lowered") else form
        _, network, inputs = self._prepared(reference, "fp32", batch)
        with torch.inference_mode():
            return tuple(network(*inputs))

    def _proven(
        self, make: Callable[..., Run], prepared: Prepared, expected: tuple[Tensor, ...], group: Group
    ) -> tuple[Callable[[], float | None], float]:
        """A run that computes what it should in a time that the group has, and its largest relative error."""
        run = make(*prepared)
        errors = [
            float((value.float() - wanted).abs().max() / wanted.abs().max())
            for value, wanted in zip(run(), expected, strict=True)
        ]
        error = max(errors) if all(error == error for error in errors) else float("inf")
        if not error <= TOLERANCE[group.precision]:
            raise ValueError(f"computes something else: relative error {error:.1e}")
        timed = waited(run, self._plan.device)
        start = time.perf_counter()
        timed()
        took_s = time.perf_counter() - start
        if took_s > self._plan.slow_s:
            raise ValueError(f"a run takes {took_s:.1f} s: too slow to be timed beside the others")
        return timed, error

    def _executions(self, form: Form) -> dict[str, Callable[..., Run]]:
        found: dict[str, Callable[..., Run]] = {"eager": _eager, "channels_last": _channels_last}
        if self._is_gpu:
            found["CUDA graph"] = lambda *prepared: graph_of(_eager(*prepared))
            found["channels_last, CUDA graph"] = _recorded
            if isinstance(form.network, Lowered):
                found["channels_last, CUDA graph, two streams"] = lambda *prepared: graph_of(_two_streams(*prepared))
        return found

    def _compiled(self, form: Form) -> dict[str, Callable[..., Run]]:
        # 'reduce-overhead' replays CUDA graphs of the compiled kernels; next to it, what it has to be faster than.
        mode = "reduce-overhead" if self._is_gpu else "default"
        found = {f"torch.compile ({mode}), channels_last": lambda *prepared: _compile(mode, *prepared)}
        return found | ({"channels_last, CUDA graph": _recorded} if self._is_gpu else {})


def waited(run: Run, device: str) -> Callable[[], float | None]:
    """A run that ends when the device has finished it; it gives the milliseconds that a GPU counted between events."""
    if device != "cuda":

        def run_alone() -> None:
            run()

        return run_alone
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def wait() -> float:
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    return wait


def _eager(form: Form, network: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...]) -> Run:
    dtype = _type_of(network)

    def run() -> tuple[Tensor, ...]:
        with torch.inference_mode():
            return network(*(value.to(dtype) for value in inputs))

    return run


def _type_of(network: Any) -> torch.dtype:
    """Type of a network's weights; a compiled one keeps what it was made of."""
    return next(getattr(network, "_orig_mod", network).parameters()).dtype


def _channels_last(form: Form, network: torch.nn.Module, inputs: tuple[Tensor, ...]) -> Run:
    # Clips enter as they do elsewhere; a 4-D network gives its frames the layout by its weights'.
    return _eager(form, _with_weights_last(form, copy.deepcopy(network)), _inputs_last(form, inputs))


def _recorded(*prepared: Any) -> Run:
    return graph_of(_channels_last(*prepared))


def _compile(mode: str, form: Form, network: torch.nn.Module, inputs: tuple[Tensor, ...]) -> Run:
    compiled = torch.compile(_with_weights_last(form, copy.deepcopy(network)), mode=mode, dynamic=False)
    return _eager(form, compiled, _inputs_last(form, inputs))


def _two_streams(form: Form, network: torch.nn.Module, inputs: tuple[Tensor, ...]) -> Run:
    """Both backbones side by side, the head after them."""
    network = _with_weights_last(form, copy.deepcopy(network))
    assert isinstance(network, Original)
    imgs, heatmap_imgs = _inputs_last(form, inputs)
    beside, dtype = torch.cuda.Stream(), _type_of(network)

    def run() -> tuple[Tensor, ...]:
        with torch.inference_mode():
            current = torch.cuda.current_stream()
            beside.wait_stream(current)
            with torch.cuda.stream(beside):
                pose = network.pose(heatmap_imgs.to(dtype))
            rgb = network.rgb(imgs.to(dtype))
            current.wait_stream(beside)
            return network.classify(rgb, pose)

    return run


def graph_of(run: Run) -> Run:
    """Recorded once, after warm-up on a side stream as PyTorch's documentation of CUDA graphs asks, then replayed."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run()

    def replay() -> tuple[Tensor, ...]:
        graph.replay()
        return outputs

    return replay


def _with_weights_last(form: Form, network: torch.nn.Module) -> torch.nn.Module:
    rank = 5 if form.memory_format is torch.channels_last_3d else 4
    for parameter in network.parameters():
        if parameter.dim() == rank:
            parameter.data = parameter.data.contiguous(memory_format=form.memory_format)
    return network


def _inputs_last(form: Form, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(value.contiguous(memory_format=torch.channels_last_3d) for value in inputs)


def prepared(description: str | None, seconds: float) -> argparse.Namespace:
    """The arguments of a script that measures PyTorch, and PyTorch set up to be measured: float32 is not TF32."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--smoke", action="store_true", help="a tiny network and few rounds, to test the script")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    return parser.parse_args()


def main() -> None:
    """Measure and write."""
    arguments = prepared(__doc__, seconds=240)
    budget, before = Budget(arguments.seconds), gpu_state()
    if arguments.smoke:
        plan = Plan(arguments.device, "tiny", SMOKE_GROUPS, (), group_s=0.05, compile_s=0, slow_s=60)
    else:
        group_s, compile_s = _GROUP_SHARE * arguments.seconds, _COMPILE_S
        plan = Plan(
            arguments.device, "ntu60", GROUPS, ("fp16", "fp32"), group_s, compile_s, max(group_s / _SLOW, _SLOW_S)
        )
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"

    def keep(bench: Bench) -> None:
        result = {
            "script": "benchmarks/gpu/torch_networks.py",
            "device": name,
            "gpu_before": before,
            "machine": machine(),
            "versions": torch_versions(),
            "scope": "compute",
            "preset": plan.preset,
            "rows": bench.rows,
            "absent": bench.absent,
        }
        tell(str(write(arguments.output, name, "torch_networks", result)))

    bench = Bench(plan, budget, keep)
    bench.run()
    keep(bench)


if __name__ == "__main__":
    main()
