"""Known networks of MMAction2's wheel through export, parity and, with --lower, the other precisions: docs/families.md.

Checkpoints are made from the shipped configs, with random weights and random BatchNorm statistics. Parameters, nodes
and multiply-adds are of the network as its config has it, clips included. What runs does so on fewer frames and
smaller pictures, which export's options ask for (the column says which): the graph is the same, node for node. Random
weights make no accuracies, and clips for INT8 are made up: its column is the distance from float32, and no more.
TensorRT-RTX parses and builds without a GPU, for compute capability 8.9; nothing is run there.

    python benchmarks/families_table.py [--only NAME ...] [--lower]    measure, and keep the others' results
    python benchmarks/families_table.py --print                        the table of docs/families.md
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.recognizers import config_of, save  # noqa: E402

import x3ddeploy  # noqa: E402
from x3ddeploy.atomic import write_json  # noqa: E402
from x3ddeploy.errors import X3DDeployError  # noqa: E402
from x3ddeploy.exporting.parts import build_parts  # noqa: E402
from x3ddeploy.graphs.work import multiply_adds  # noqa: E402
from x3ddeploy.loading import load_network  # noqa: E402
from x3ddeploy.machine import machine  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "families.json"
PRECISIONS = ("fp32", "fp16", "int8")
CAPABILITY = "8.9"
NOT_TRIED = "-"


@dataclass(frozen=True)
class Configured:
    """A config of the wheel.

    Attributes:
        path: below `mmaction/.mim/configs`.
        size: height and width of the pictures that it is run on; None where it sees none, or takes no other size.
        frames: number of frames of a clip; None where the number is part of the network.
    """

    path: str
    size: int | None = 64
    frames: int | None = None


_STGCN, _AGCN = "skeleton/stgcn/stgcn_8xb16-", "skeleton/2s-agcn/2s-agcn_8xb16-"
_STGCNPP, _POSE = "skeleton/stgcnpp/stgcnpp_8xb16-", "skeleton/posec3d/slowonly_"
_VIDEO = "recognition/"
CONFIGS: dict[str, Configured] = {
    "PoseC3D, joints, NTU-60": Configured(f"{_POSE}r50_8xb16-u48-240e_ntu60-xsub-keypoint.py", 32, 8),
    "PoseC3D, limbs, NTU-60": Configured(f"{_POSE}r50_8xb16-u48-240e_ntu60-xsub-limb.py", 32, 8),
    "PoseC3D, joints, FineGYM": Configured(f"{_POSE}r50_8xb16-u48-240e_gym-keypoint.py", 32, 8),
    "PoseC3D, limbs, FineGYM": Configured(f"{_POSE}r50_8xb16-u48-240e_gym-limb.py", 32, 8),
    "PoseC3D, joints, HMDB51": Configured(
        f"{_POSE}kinetics400-pretrained-r50_8xb16-u48-120e_hmdb51-split1-keypoint.py", 32, 8
    ),
    "RGBPoseConv3D": Configured("skeleton/posec3d/rgbpose_conv3d/rgbpose_conv3d.py"),
    "ST-GCN, joint, 2-D": Configured(f"{_STGCN}joint-u100-80e_ntu60-xsub-keypoint-2d.py", None, 16),
    "ST-GCN, bone motion, 3-D": Configured(f"{_STGCN}bone-motion-u100-80e_ntu120-xsub-keypoint-3d.py", None, 16),
    "ST-GCN++, joint motion, 2-D": Configured(f"{_STGCNPP}joint-motion-u100-80e_ntu60-xsub-keypoint-2d.py", None, 16),
    "ST-GCN++, bone, 3-D": Configured(f"{_STGCNPP}bone-u100-80e_ntu60-xsub-keypoint-3d.py", None, 16),
    "2s-AGCN, joint, 2-D": Configured(f"{_AGCN}joint-u100-80e_ntu60-xsub-keypoint-2d.py", None, 16),
    "2s-AGCN, bone, 3-D": Configured(f"{_AGCN}bone-u100-80e_ntu60-xsub-keypoint-3d.py", None, 16),
    "TSN-R50": Configured(f"{_VIDEO}tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb.py"),
    "TSM-R50": Configured(f"{_VIDEO}tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb.py"),
    "TSM-R101": Configured(f"{_VIDEO}tsm/tsm_imagenet-pretrained-r101_8xb16-1x1x8-50e_sthv2-rgb.py"),
    "TSM-R50, non-local": Configured(
        f"{_VIDEO}tsm/tsm_imagenet-pretrained-r50-nl-dot-product_8xb16-1x1x8-50e_kinetics400-rgb.py"
    ),
    "TSM-MobileNetV2": Configured(
        f"{_VIDEO}tsm/tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb.py"
    ),
    "TRN-R50": Configured(f"{_VIDEO}trn/trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py"),
    "TANet-R50": Configured(f"{_VIDEO}tanet/tanet_imagenet-pretrained-r50_8xb8-1x1x8-50e_sthv1-rgb.py"),
    "C2D-R50": Configured(f"{_VIDEO}c2d/c2d_r50-in1k-pre_8xb32-8x8x1-100e_kinetics400-rgb.py"),
    "SlowOnly-R50": Configured(f"{_VIDEO}slowonly/slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb.py"),
    "SlowFast-R50": Configured(f"{_VIDEO}slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb.py"),
    "I3D-R50": Configured(f"{_VIDEO}i3d/i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb.py"),
    "I3D-R50, non-local": Configured(
        f"{_VIDEO}i3d/i3d_imagenet-pretrained-r50-nl-dot-product_8xb8-32x2x1-100e_kinetics400-rgb.py"
    ),
    "R(2+1)D-R34": Configured(f"{_VIDEO}r2plus1d/r2plus1d_r34_8xb8-8x8x1-180e_kinetics400-rgb.py"),
    "C3D": Configured(f"{_VIDEO}c3d/c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb.py", None),
    "X3D-S": Configured(f"{_VIDEO}x3d/x3d_s_13x6x1_facebook-kinetics400-rgb.py"),
    "X3D-M": Configured(f"{_VIDEO}x3d/x3d_m_16x5x1_facebook-kinetics400-rgb.py"),
    "ip-CSN-R152": Configured(f"{_VIDEO}csn/ipcsn_ig65m-pretrained-r152-bnfrozen_32x2x1-58e_kinetics400-rgb.py"),
    "ir-CSN-R50": Configured(f"{_VIDEO}csn/ircsn_ig65m-pretrained-r50-bnfrozen_8xb12-32x2x1-58e_kinetics400-rgb.py"),
    "TPN on SlowOnly-R50": Configured(f"{_VIDEO}tpn/tpn-slowonly_r50_8xb8-8x8x1-150e_kinetics400-rgb.py"),
    "OmniSource-R50": Configured(f"{_VIDEO}omnisource/slowonly_r50_8xb16-8x8x1-256e_imagenet-kinetics400-rgb.py"),
}


def measured(configured: Configured, folder: Path, *, lower: bool) -> dict[str, Any]:
    """Everything that the table says of one network; raises where it cannot be exported.

    Args:
        configured: which.
        folder: for its checkpoint and its bundle.
        lower: whether FP16, INT8 and TensorRT-RTX are tried.
    """
    checkpoint = save(folder / "best.pth", config_of(configured.path))
    network = load_network(checkpoint).network
    graph = build_parts(network, "onnxruntime", None, "0" * 64)["recognizer"]
    work = multiply_adds(graph)
    found: dict[str, Any] = {
        "config": configured.path,
        "family": network.family,
        "parameters": sum(value.numel() for value in network.parameters()),
        "multiply_adds": None if work is None else sum(work.values()),
        "nodes": len(graph.graph.node),
        "clip": {name: list(value.clip_shape) for name, value in network.contract().inputs.items()},
        "views": next(iter(network.contract().inputs.values())).views.count,
        "size": configured.size,
        "frames": configured.frames,
    }
    size = None if configured.size is None else (configured.size, configured.size)
    bundle = folder / "deploy"
    exported = x3ddeploy.export(checkpoint, bundle, target="onnxruntime", size=size, frames=configured.frames)
    found["onnxruntime"] = max(row.difference.relative for row in exported.rows if row.part == "recognizer")
    checks = x3ddeploy.verify(bundle, runtimes=["openvino"]).checks
    found["openvino"] = max(check.difference.relative for check in checks if check.name.startswith("recognizer"))
    if not lower:
        return found
    bundle = folder / "tensorrt"
    x3ddeploy.export(checkpoint, bundle, target="tensorrt", size=size, frames=configured.frames)
    for precision in PRECISIONS:
        found[precision] = _lower(bundle, precision)
        found[f"rtx_{precision}"] = "no graph" if found[precision] is None else _built(bundle, precision)
    return found


def _lower(bundle: Path, precision: str) -> float | None:
    """Largest distance of a precision's logits from float32 on the golden clip, relative to their range."""
    if precision == "fp32":
        return 0.0
    try:
        x3ddeploy.quantize(bundle, precisions=[precision], calib_random=True)
    except X3DDeployError as error:
        click.echo(f"  {precision}: {error}", err=True)
        return None
    made = json.loads((bundle / "manifest.json").read_text())["precisions"][precision]["golden_error"]
    return max(value for name, value in made.items() if name.startswith("recognizer") and name.endswith("logits"))


def _built(bundle: Path, precision: str) -> str:
    """'' where TensorRT-RTX builds the whole network, else why not."""
    try:
        x3ddeploy.build_trt(
            bundle, precision=precision, rtx=True, compute_capabilities=[CAPABILITY], parts=["recognizer"]
        )
    except X3DDeployError as error:
        return str(error).splitlines()[0].replace(str(bundle), "the bundle")
    return ""


def _distance(found: Mapping[str, Any], precision: str) -> str:
    if precision not in found:
        return NOT_TRIED
    return "refused" if found[precision] is None else f"{found[precision]:.0e}"


def rows(result: Mapping[str, Any]) -> Iterator[str]:
    """The rows of the table in docs/families.md."""
    for name, found in result["networks"].items():
        work = found["multiply_adds"]
        shown = [str(found["frames"] or ""), "" if found["size"] is None else f"{found['size']} x {found['size']}"]
        columns = (
            name,
            f"`{found['family']}`",
            f"{found['parameters'] / 1e6:.1f}",
            "" if work is None else f"{work / 1e9:.1f}",
            str(found["nodes"]),
            str(found["views"]),
            ", ".join(filter(None, shown)) or "its own",
            f"{found['onnxruntime']:.0e}",
            f"{found['openvino']:.0e}",
            *(_distance(found, precision) for precision in ("fp16", "int8")),
            ", ".join(precision for precision in PRECISIONS if found.get(f"rtx_{precision}") == "") or NOT_TRIED,
        )
        yield f"| {' | '.join(columns)} |"


def _result() -> dict[str, Any]:
    return json.loads(RESULT.read_text()) if RESULT.is_file() else {"networks": {}}


@click.command(help=__doc__)
@click.option("--only", multiple=True, type=click.Choice(list(CONFIGS)), help="Measure these, and keep the others.")
@click.option("--lower", is_flag=True, help="FP16, INT8 and TensorRT-RTX as well, which take longest.")
@click.option("--print", "printing", is_flag=True, help="Print the table, and measure nothing.")
def main(only: tuple[str, ...], lower: bool, printing: bool) -> None:
    """Measure, or print."""
    if printing:
        for row in rows(_result()):
            click.echo(row)
        return
    torch.set_num_threads(1)
    for name in only or CONFIGS:
        click.echo(name, err=True)
        with tempfile.TemporaryDirectory() as folder:
            found = measured(CONFIGS[name], Path(folder), lower=lower)
        result = _result()
        packages = ("torch", "mmaction2", "onnxruntime", "openvino", "tensorrt-rtx-cu13")
        result["machine"] = machine()
        result["versions"] = {package: importlib.metadata.version(package) for package in packages}
        known = {**result["networks"], name: found}
        result["networks"] = {key: known[key] for key in CONFIGS if key in known}
        write_json(RESULT, result)


if __name__ == "__main__":
    main()
