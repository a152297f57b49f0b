"""What a GPU host is given: bundles of the full network, plain exports, and the shift's forms, as ONNX files.

Runs anywhere, without a GPU. The plain exports are torch.onnx.export's of the training-form network and of
RGBPoseConv3D: what TensorRT is given without a lowering. All are opset 17, so that TensorRT 8.6 takes them, too.

    python benchmarks/gpu/prepare.py DIRECTORY [--preset ntu60] [--opset17]
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import warnings
from pathlib import Path

import torch
from forms import Form, forms
from host import ROOT, tell
from shift_forms import SHIFT_FORMS, to_layout
from shift_variants import stages
from torch import nn

from x3ddeploy.families.two_stream_x3d.presets import PRESETS

INPUTS, OUTPUTS = ["imgs", "heatmap_imgs"], ["rgb_logits", "pose_logits", "scores"]
PLAIN = ("original", "rgbposeconv3d")
_OPSET = 17
_CALIBRATION_CLIPS = 8  # made up: latency asks for no accuracy


def main() -> None:
    """Write everything into the directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--preset", choices=list(PRESETS), default="ntu60")
    parser.add_argument("--opset17", action="store_true", help="INT8 graphs for TensorRT 8.6")
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    write_bundle(directory, arguments.preset, opset17=arguments.opset17)
    for form in forms(arguments.preset):
        if form.name in PLAIN:
            write_plain(directory, form)
    write_shift_forms(directory / "shift", arguments.preset)


def write_bundle(directory: Path, preset: str, *, opset17: bool) -> None:
    """`deploy`: fp32, fp16 and int8 graphs of the network with random weights."""
    checkpoint, bundle = directory / "demo.pth", directory / "deploy"
    _command("x3ddeploy.demo", "--preset", preset, checkpoint)
    _command("x3ddeploy", "export", checkpoint, "-o", bundle, "--overwrite")
    opset = str(_OPSET) if opset17 else "19"
    calibration = ("--calib-random", "--calib-clips", str(_CALIBRATION_CLIPS))
    _command("x3ddeploy", "quantize", bundle, "--fp16", "--int8", *calibration, "--opset", opset)


def write_plain(directory: Path, form: Form) -> None:
    """`plain/<network>.<precision>.onnx`, half-typed as a whole for fp16."""
    with torch.inference_mode():
        names = OUTPUTS[: len(form.network(*form.inputs(1)))]
    for precision, dtype in (("fp32", torch.float32), ("fp16", torch.float16)):
        network = copy.deepcopy(form.network).to(dtype)
        inputs = tuple(value.to(dtype) for value in form.inputs(2))
        path = directory / "plain" / f"{form.name}.{precision}.onnx"
        _export(network, inputs, path, INPUTS, names, dynamic=True)


def write_shift_forms(directory: Path, preset: str) -> None:
    """`<stage>.<form>.onnx`, one clip, half-typed, each in the layout that it works in."""
    for stage in stages(PRESETS[preset]):
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(stage.width, stage.shape[0], generator=generator) / stage.shape[0] ** 0.5
        clip = torch.randn(1, *stage.shape, generator=generator)
        for name, make in SHIFT_FORMS.items():
            module = make(weight, stage.fold_div, stage.shape[1]).half()
            x = to_layout(clip, make.layout).half()
            path = directory / f"{stage.name.replace(' ', '.')}.{name}.onnx"
            _export(module, (x,), path, ["x"], ["y"], dynamic=False)


def _export(
    network: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    path: Path,
    names: list[str],
    outputs: list[str],
    *,
    dynamic: bool,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {name: {0: "N"} for name in (*names, *outputs)}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of Python values that the trace takes for constants: extents, which they are
        torch.onnx.export(
            network,
            inputs,
            str(path),
            input_names=names,
            output_names=outputs,
            dynamic_axes=axes if dynamic else None,
            opset_version=_OPSET,
            dynamo=False,
        )
    tell(str(path))


def _command(module: str, *arguments: object) -> None:
    subprocess.run([sys.executable, "-m", module, *map(str, arguments)], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
