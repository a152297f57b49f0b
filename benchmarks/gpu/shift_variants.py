"""The shift and its expand convolution in four forms, timed at every stage of both backbones, in PyTorch.

Scope `compute`, FP16 and FP32 (TF32 off), batch 1 and 8, CUDA graphs, each form in the layout that it works in,
PyTorch's own kernels; all are compared with the first before timing. Needs PyTorch and numpy, nothing else.

    python benchmarks/gpu/shift_variants.py [--device cuda] [--seconds 60] [--output benchmarks/results]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from host import Budget, gpu_state, machine, rows_of, tell, torch_versions, write
from shift_forms import SHIFT_FORMS, from_layout, to_layout
from torch_networks import TOLERANCE, graph_of, waited

from x3ddeploy.bench.measure import measure
from x3ddeploy.models.presets import PRESETS
from x3ddeploy.models.spec import ModelSpec

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


def rows_for(stage: Stage, batch: int, precision: str, device: str, seconds: float) -> list[dict[str, Any]]:
    """Time all forms at one stage."""
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(batch, *stage.shape, generator=generator)
    weight = torch.randn(stage.width, stage.shape[0], generator=generator) / stage.shape[0] ** 0.5
    expected, runs, about = None, {}, {}
    for name, form in SHIFT_FORMS.items():
        module = form(weight, stage.fold_div, stage.shape[1]).to(device, _TYPES[precision])
        x = to_layout(clip, form.layout).to(device, _TYPES[precision])

        def run(module: torch.nn.Module = module, x: torch.Tensor = x) -> tuple[torch.Tensor, ...]:
            with torch.inference_mode():
                return (module(x),)

        if device == "cuda":
            run = graph_of(run)
        actual = from_layout(run()[0].float(), form.layout, clip.shape)
        expected = actual if expected is None else expected
        error = float((actual - expected).abs().max() / expected.abs().max())
        if not error <= TOLERANCE[precision]:
            raise SystemExit(f"{name} computes something else at {stage.name}: {error:.1e}")
        runs[name] = waited(run, device)
        about[name] = {
            "stage": stage.name,
            "form": name,
            "layout": form.layout,
            "precision": precision,
            "batch": batch,
            "relative_error": error,
        }
    return rows_of(measure(runs, seconds), about)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--smoke", action="store_true", help="a tiny network and few rounds, to test the script")
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    budget, before = Budget(arguments.seconds), gpu_state()
    preset = "tiny" if arguments.smoke else "ntu60"
    places = list(stages(PRESETS[preset]))
    groups = [(stage, batch, precision) for precision in ("fp16", "fp32") for batch in (1, 8) for stage in places]
    rows: list[dict[str, Any]] = []
    absent: list[dict[str, str]] = []
    for index, (stage, batch, precision) in enumerate(groups):
        if budget.left_s < 0:
            absent.append({"name": f"{stage.name}, {precision}, batch {batch}", "reason": "no time left in the budget"})
            continue
        seconds = 0.0 if arguments.smoke else budget.left_s / (len(groups) - index) / 2
        rows += rows_for(stage, batch, precision, arguments.device, seconds)
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    result = {
        "script": "benchmarks/gpu/shift_variants.py",
        "device": name,
        "gpu_before": before,
        "gpu_after": gpu_state(),
        "machine": machine(),
        "versions": torch_versions(),
        "scope": "compute",
        "preset": preset,
        "rows": rows,
        "absent": absent,
    }
    tell(str(write(arguments.output, name, "shift_variants", result)))


if __name__ == "__main__":
    main()
