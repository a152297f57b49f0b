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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from forms import Form, Lowered, Original, forms
from host import Budget, gpu_state, machine, rows_of, tell, torch_versions, write
from torch import Tensor

from x3ddeploy.bench.measure import measure

TOLERANCE = {"fp32": 1e-3, "fp16": 5e-2}  # of an output's range; a wrong network is off by more
_TYPES = {"fp32": torch.float32, "fp16": torch.float16}

Run = Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        group_s: seconds of timing for one precision and batch.
        compile_s: what a compilation may take; without that much left none is begun.
    """

    device: str
    preset: str
    batches: tuple[int, ...]
    precisions: tuple[str, ...]
    group_s: float
    compile_s: float


class Bench:
    """Measures group after group, and keeps what was measured, and what was not."""

    def __init__(self, plan: Plan, budget: Budget, keep: Callable[[Bench], None]) -> None:
        self._plan, self._budget, self._keep = plan, budget, keep
        self._is_gpu = plan.device == "cuda"
        self._forms = forms(plan.preset)
        self.rows: list[dict[str, Any]] = []
        self.absent: list[dict[str, str]] = []

    def run(self) -> None:
        for batch in self._plan.batches:
            for precision in self._plan.precisions:
                self._group(precision, batch, compiled=False)
        for precision in self._plan.precisions:
            self._group(precision, self._plan.batches[0], compiled=True)

    def _group(self, precision: str, batch: int, *, compiled: bool) -> None:
        group = f"{precision}, batch {batch}{', compiled' if compiled else ''}"
        if self._budget.left_s < (self._plan.compile_s if compiled else 2 * self._plan.group_s):
            self.absent.append({"name": group, "reason": "no time left in the budget"})
            return
        runs: dict[str, Run] = {}
        about: dict[str, dict[str, Any]] = {}
        for form in self._forms:
            executions = self._compiled(form) if compiled else self._executions(form, precision, batch)
            prepared = self._prepared(form, precision, batch)
            for name, make in executions.items():
                label = f"{form.name}, {name}"
                try:
                    run = make(*prepared)
                    error = self._error(form, batch, run())
                except Exception as fault:  # out of memory, an operation without a half form, a compiler that fails
                    self.absent.append({"name": f"{label}, {group}", "reason": str(fault).splitlines()[0][:200]})
                    continue
                if not error <= TOLERANCE[precision]:
                    self.absent.append(
                        {"name": f"{label}, {group}", "reason": f"computes something else ({error:.1e})"}
                    )
                    continue
                runs[label] = waited(run, self._plan.device)
                about[label] = {
                    "network": form.name,
                    "execution": name,
                    "precision": precision,
                    "batch": batch,
                    "relative_error": error,
                }
        tell(f"timing {len(runs)} competitors: {group}, {self._budget.left_s:.0f} s left")
        self.rows += rows_of(measure(runs, min(self._plan.group_s, max(self._budget.left_s, 0))), about)
        self._keep(self)  # what was measured stays, whatever ends this process
        del runs
        gc.collect()
        if self._is_gpu:
            torch.cuda.empty_cache()

    def _prepared(self, form: Form, precision: str, batch: int) -> tuple[Form, torch.nn.Module, tuple[Tensor, ...]]:
        network = copy.deepcopy(form.network).to(self._plan.device, _TYPES[precision])
        inputs = tuple(value.to(self._plan.device, _TYPES[precision]) for value in form.inputs(batch))
        return form, network, inputs

    def _executions(self, form: Form, precision: str, batch: int) -> dict[str, Callable[..., Run]]:
        found: dict[str, Callable[..., Run]] = {"eager": _eager, "channels_last": _channels_last}
        if self._is_gpu:
            found["CUDA graph"] = lambda *prepared: graph_of(_eager(*prepared))
            found["channels_last, CUDA graph"] = lambda *prepared: graph_of(_channels_last(*prepared))
            if isinstance(form.network, Lowered):
                found["channels_last, CUDA graph, two streams"] = lambda *prepared: graph_of(_two_streams(*prepared))
        return found

    def _compiled(self, form: Form) -> dict[str, Callable[..., Run]]:
        if self._budget.left_s < self._plan.compile_s:
            self.absent.append({"name": f"{form.name}, compiled", "reason": "no time left in the budget"})
            return {}
        # 'reduce-overhead' replays CUDA graphs of the compiled kernels.
        mode = "reduce-overhead" if self._is_gpu else "default"
        found = {f"torch.compile ({mode}), channels_last": lambda *prepared: _compile(mode, *prepared)}
        if self._is_gpu:
            found["channels_last, CUDA graph"] = lambda *prepared: graph_of(_channels_last(*prepared))
        return found

    def _error(self, form: Form, batch: int, outputs: tuple[Tensor, ...]) -> float:
        """Largest error of any output against the float32 original, or against itself for the baseline."""
        reference = self._forms[0] if form.name.startswith("lowered") else form
        _, network, inputs = self._prepared(reference, "fp32", batch)
        with torch.inference_mode():
            expected = network(*inputs)
        errors = [
            float((value.float() - wanted).abs().max() / wanted.abs().max())
            for value, wanted in zip(outputs, expected, strict=True)
        ]
        return max(errors) if all(error == error for error in errors) else float("inf")


def waited(run: Run, device: str) -> Callable[[], None]:
    """A run that ends when the device has finished it."""

    def wait() -> None:
        run()
        if device == "cuda":
            torch.cuda.synchronize()

    return wait


def _eager(form: Form, network: torch.nn.Module, inputs: tuple[Tensor, ...]) -> Run:
    def run() -> tuple[Tensor, ...]:
        with torch.inference_mode():
            return network(*inputs)

    return run


def _channels_last(form: Form, network: torch.nn.Module, inputs: tuple[Tensor, ...]) -> Run:
    # Clips enter as they do elsewhere; a 4-D network gives its frames the layout by its weights'.
    return _eager(form, _with_weights_last(form, copy.deepcopy(network)), _inputs_last(form, inputs))


def _compile(mode: str, form: Form, network: torch.nn.Module, inputs: tuple[Tensor, ...]) -> Run:
    compiled = torch.compile(_with_weights_last(form, copy.deepcopy(network)), mode=mode, dynamic=False)
    return _eager(form, compiled, _inputs_last(form, inputs))


def _two_streams(form: Form, network: torch.nn.Module, inputs: tuple[Tensor, ...]) -> Run:
    """Both backbones side by side, the head after them."""
    network = _with_weights_last(form, copy.deepcopy(network))
    assert isinstance(network, Original)
    imgs, heatmap_imgs = _inputs_last(form, inputs)
    beside = torch.cuda.Stream()

    def run() -> tuple[Tensor, ...]:
        with torch.inference_mode():
            current = torch.cuda.current_stream()
            beside.wait_stream(current)
            with torch.cuda.stream(beside):
                pose = network.pose(heatmap_imgs)
            rgb = network.rgb(imgs)
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


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--smoke", action="store_true", help="a tiny network and few rounds, to test the script")
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    budget = Budget(arguments.seconds)
    before = gpu_state()
    plan = Plan(
        device=arguments.device,
        preset="tiny" if arguments.smoke else "ntu60",
        batches=(1, 2) if arguments.smoke else (1, 8, 32),
        precisions=("fp32",) if arguments.smoke else ("fp16", "fp32"),
        group_s=0.05 if arguments.smoke else 12.0,
        compile_s=float("inf") if arguments.device == "cpu" else 75.0,  # minutes on a CPU, and of no interest
    )
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"

    def keep(bench: Bench) -> None:
        result = {
            "script": "benchmarks/gpu/torch_networks.py",
            "device": name,
            "gpu_before": before,
            "gpu_after": gpu_state(),
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
