"""The shift and its expand convolution in four forms, timed at every stage of both backbones, in PyTorch.

Scope `compute`, FP16 and FP32 (TF32 off), batch 1 and 8, each form in the layout that it works in, PyTorch's own
kernels; all are compared with the first before timing. One sample is a share of a CUDA graph of several runs, since a
launch takes as long as some of them; what they read stays in the GPU's cache. Needs PyTorch and numpy, nothing else.

    python benchmarks/gpu/shift_variants.py [--device cuda] [--seconds 60] [--output benchmarks/results]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from host import Budget, first_line, gpu_state, rows_of, torch_versions, write
from shift_forms import SHIFT_FORMS, from_layout, to_layout
from torch import nn
from torch_networks import TOLERANCE, graph_of, prepared, waited

from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec
from x3ddeploy.machine import machine
from x3ddeploy.timing.gpu_load import gpu_load
from x3ddeploy.timing.measure import measure

REPEATS = 10  # runs in one CUDA graph
_TYPES = {"fp32": torch.float32, "fp16": torch.float16}


@dataclass(frozen=True)
class Stage:
    """Where a shift is: 'rgb layer2', its clip's extent without N, and the width that the convolution expands to."""

    name: str
    shape: tuple[int, int, int, int]
    width: int
    fold_div: int


def stages(spec: ModelSpec) -> Iterator[Stage]:
    """The extent that most blocks of each stage see: behind its first, which strides."""
    for stream, backbone, clip in (("rgb", spec.rgb, spec.rgb_input), ("pose", spec.pose, spec.pose_input)):
        height, width = (-(-size // backbone.stem_stride) for size in (clip.height, clip.width))
        for index, stage in enumerate(backbone.stages, 1):
            height, width = -(-height // stage.stride), -(-width // stage.stride)
            shape = (stage.channels, clip.frames, height, width)
            yield Stage(f"{stream} layer{index}", shape, stage.width, backbone.fold_div)


class Bench:
    """Times the forms at one stage after another, and keeps what was measured, and what was not."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.rows: list[dict[str, Any]] = []
        self.absent: list[dict[str, str]] = []

    def stage(self, stage: Stage, batch: int, precision: str, seconds: float) -> None:
        """Time all forms at one stage."""
        generator = torch.Generator().manual_seed(0)
        clip = torch.randn(batch, *stage.shape, generator=generator)
        weight = torch.randn(stage.width, stage.shape[0], generator=generator) / stage.shape[0] ** 0.5
        expected: torch.Tensor | None = None
        runs: dict[str, Callable[[], object]] = {}
        about: dict[str, dict[str, Any]] = {}
        for name, form in SHIFT_FORMS.items():
            about[name] = {
                "stage": stage.name,
                "form": name,
                "layout": form.layout,
                "precision": precision,
                "batch": batch,
            }
            try:
                module = form(weight, stage.fold_div, stage.shape[1]).to(self._device, _TYPES[precision])
                x = to_layout(clip, form.layout).to(self._device, _TYPES[precision])
                actual = from_layout(_run(module, x).float(), form.layout, clip.shape)
                expected = actual if expected is None else expected
                error = float((actual - expected).abs().max() / expected.abs().max())
                if not error <= TOLERANCE[precision]:
                    raise ValueError(f"computes something else: relative error {error:.1e}")
                repeated = partial(_repeat, module, x)
                runs[name] = waited(graph_of(repeated) if self._device == "cuda" else repeated, self._device)
            except Exception as fault:  # an operation without a half form, out of memory
                self.absent.append(
                    {"name": f"{stage.name}, {name}, {precision}, batch {batch}", "reason": first_line(fault)}
                )
                continue
            about[name]["relative_error"] = error
        if runs:
            with gpu_load() as load:
                measured = measure(runs, seconds)
            facts = {name: {**about[name], "gpu_load": asdict(load[0]) if load else None} for name in runs}
            self.rows += rows_of(measured, facts, divided_by=REPEATS)
            if measured.interrupted:
                raise KeyboardInterrupt


def _run(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return module(x)


def _repeat(module: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(_run(module, x) for _ in range(REPEATS))


def main() -> None:
    """Measure and write."""
    arguments = prepared(__doc__, seconds=60)
    budget, before = Budget(arguments.seconds), gpu_state()
    preset = "tiny" if arguments.smoke else "ntu60"
    places = list(stages(PRESETS[preset]))
    groups = [(batch, precision) for precision in ("fp16", "fp32") for batch in (1, 8)]
    left = len(groups) * len(places)
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    bench = Bench(arguments.device)

    def keep() -> None:
        result = {
            "script": "benchmarks/gpu/shift_variants.py",
            "device": name,
            "gpu_before": before,
            "machine": machine(),
            "versions": torch_versions(),
            "scope": "compute",
            "preset": preset,
            "repeats": REPEATS,
            "rows": bench.rows,
            "absent": bench.absent,
        }
        write(arguments.output, name, "shift_variants", result)

    for batch, precision in groups:
        for stage in places:
            if budget.left_s > 0:
                try:
                    bench.stage(stage, batch, precision, 0 if arguments.smoke else budget.left_s / left / 2)
                finally:
                    keep()  # what was measured stays, whatever ends this process
            else:
                what = f"{stage.name}, {precision}, batch {batch}"
                bench.absent.append({"name": what, "reason": "no time left in the budget"})
            left -= 1
    keep()


if __name__ == "__main__":
    main()
