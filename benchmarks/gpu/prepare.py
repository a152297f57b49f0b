"""What a GPU host is given: bundles of the full network, plain exports, and the shift's forms, as ONNX files.

Runs anywhere, without a GPU. The plain exports are torch.onnx.export's of the training-form network and of
RGBPoseConv3D: what TensorRT is given without a lowering; PyTorch and numpy are enough for them, so that hundreds of
megabytes need not travel. All are opset 17, so that TensorRT 8.6 takes them, too, and take and give float32 whatever
they compute in, as the bundle's graphs do: what is copied is the same.

    python benchmarks/gpu/prepare.py DIRECTORY [--preset ntu60] [--opset17] [--only deploy,plain,shift] [--split 55]

`--split` also packs what was written into pieces of that many MB, with checksums, for channels that take no more.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import tarfile
import tempfile
import warnings
from pathlib import Path

import rgbposeconv3d_torch
import torch
from forms import Form, forms
from host import ROOT, tell
from offline.pack import cut, write_checksums
from shift_forms import SHIFT_FORMS, to_layout
from shift_variants import stages
from torch import nn
from torch.onnx._internal.torchscript_exporter import onnx_proto_utils

from x3ddeploy.families.two_stream_x3d.presets import PRESETS

INPUTS, OUTPUTS = ["imgs", "heatmap_imgs"], ["rgb_logits", "pose_logits", "scores"]
PLAIN = ("original", "rgbposeconv3d")
BASELINE = "rgbposeconv3d"
WHAT = ("deploy", "plain", "shift")
_TYPES = {"fp32": torch.float32, "fp16": torch.float16}
_OPSET = 17
_CALIBRATION_CLIPS = 8  # made up: latency asks for no accuracy


def main() -> None:
    """Write everything into the directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--preset", choices=list(PRESETS), default="ntu60")
    parser.add_argument("--opset17", action="store_true", help="INT8 graphs for TensorRT 8.6")
    parser.add_argument(
        "--only", default=",".join(WHAT), help=f"some of {','.join(WHAT)},{BASELINE}  [default: the first]"
    )
    parser.add_argument("--precision", choices=list(_TYPES), help="of the plain exports alone  [default: both]")
    parser.add_argument("--split", type=float, metavar="MB", help="pack into pieces of that size, too")
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    wanted = arguments.only.split(",")
    if unknown := set(wanted) - {*WHAT, BASELINE}:
        parser.error(f"--only takes {','.join(WHAT)},{BASELINE}, and not {','.join(sorted(unknown))}")
    if "deploy" in wanted:
        write_bundle(directory, arguments.preset, opset17=arguments.opset17)
    if BASELINE in wanted:
        write_baseline(directory, arguments.preset, opset17=arguments.opset17)
    if "plain" in wanted:
        for form in forms(arguments.preset):
            if form.name in PLAIN:
                write_plain(directory, form, [arguments.precision] if arguments.precision else list(_TYPES))
    if "shift" in wanted:
        write_shift_forms(directory / "shift", arguments.preset)
    if arguments.split:
        pieces = pack(directory, wanted, int(arguments.split * 1e6))
        tell(f"{len(pieces)} pieces in {directory / 'pieces'}: cat piece.* | tar --extract --xz")


def pack(directory: Path, names: list[str], piece_bytes: int) -> list[Path]:
    """`pieces/piece.000`, ... of one archive of some of the folders, and their SHA256SUMS."""
    folder = directory / "pieces"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("piece.*"):
        old.unlink()
    archive = folder / "all.tar.xz"
    with tarfile.open(archive, "w:xz", preset=6) as tar:
        for name in names:
            tar.add(directory / name, name)
    with archive.open("rb") as stream:
        pieces = cut(stream, folder, piece_bytes)
    archive.unlink()
    write_checksums(folder, pieces)
    return pieces


def write_bundle(directory: Path, preset: str, *, opset17: bool) -> None:
    """`deploy`: fp32, fp16 and int8 graphs of the network with random weights; the checkpoint does not stay."""
    bundle = directory / "deploy"
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "demo.pth"
        _command("x3ddeploy.demo", "--preset", preset, checkpoint)
        _command("x3ddeploy", "export", checkpoint, "-o", bundle, "--preprocess", "--overwrite")
    _quantize(bundle, opset17=opset17)


def write_baseline(directory: Path, preset: str, *, opset17: bool) -> None:
    """`rgbposeconv3d`: RGBPoseConv3D as a bundle of its own, by the same way; needs MMAction2, whose config it is."""
    import mmaction

    config = Path(mmaction.__file__).parent / ".mim/configs/skeleton/posec3d/rgbpose_conv3d/rgbpose_conv3d.py"
    torch.manual_seed(0)
    weights = rgbposeconv3d_torch.build(PRESETS[preset].head.classes).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "baseline.pth"
        torch.save({"state_dict": as_trained(weights)}, checkpoint)
        _command("x3ddeploy", "export", checkpoint, "--config", config, "-o", directory / BASELINE, "--overwrite")
    _quantize(directory / BASELINE, opset17=opset17)


def as_trained(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The baseline's weights under the names that MMAction2's recognizer gives them."""
    return {f"cls_{name}" if name.startswith("head.") else name: value for name, value in weights.items()}


def _quantize(bundle: Path, *, opset17: bool) -> None:
    opset = str(_OPSET) if opset17 else "19"
    calibration = ("--calib-random", "--calib-clips", str(_CALIBRATION_CLIPS))
    _command("x3ddeploy", "quantize", bundle, "--fp16", "--int8", *calibration, "--opset", opset)


class Typed(nn.Module):
    """A network that computes in a type, and takes and gives float32."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network.to(dtype), dtype

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(value.float() for value in self.network(*(value.to(self.dtype) for value in inputs)))


def write_plain(directory: Path, form: Form, precisions: list[str]) -> None:
    """`plain/<network>.<precision>.onnx`, half-typed as a whole for fp16, float32 at its borders."""
    with torch.inference_mode():
        names = OUTPUTS[: len(form.network(*form.inputs(1)))]
    for precision in precisions:
        network = Typed(copy.deepcopy(form.network), _TYPES[precision])
        path = directory / "plain" / f"{form.name}.{precision}.onnx"
        _export(network, form.inputs(2), path, INPUTS, names, dynamic=True)


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
    try:
        import onnx  # noqa: F401 (whether it is there)
    except ImportError:
        # It is only asked for functions written in ONNX Script, of which there are none here.
        onnx_proto_utils._add_onnxscript_fn = lambda model_bytes, custom_opsets: model_bytes
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
