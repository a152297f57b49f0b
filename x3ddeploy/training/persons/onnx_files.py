"""The end of a training: the best weights as ONNX files that `x3ddeploy predict --pose --detector` takes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from x3ddeploy import __version__
from x3ddeploy.atomic import write_bytes
from x3ddeploy.errors import GateError
from x3ddeploy.exporting.parts import serialize
from x3ddeploy.graphs.builder import BATCH_AXIS, GraphBuilder
from x3ddeploy.graphs.lint import check_model
from x3ddeploy.graphs.trace import trace
from x3ddeploy.graphs.write import write
from x3ddeploy.parity.gates import float32_tolerance
from x3ddeploy.parity.metrics import compare
from x3ddeploy.registry import HOOKS
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.training.persons.finder import PersonFinder

_INPUT = "pictures"
_OUTPUTS = {"detector": "boxes", "pose": "heatmaps"}
_SEED, _COMPARED = 0, 3


@HOOKS.register_module()
class OnnxHook(Hook):
    """Writes detector.onnx and pose.onnx into the work directory when a training of PersonFinder has ended."""

    priority = "LOWEST"  # after the last checkpoint

    def after_train(self, runner: Any) -> None:
        if runner.rank != 0:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        best = runner.message_hub.runtime_info.get("best_ckpt")
        if best is not None:  # MMEngine's, read under `checkpoints_with_history`
            model.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])
        files = write_onnx(model, Path(runner.work_dir))
        runner.message_hub.update_info("onnx", {name: str(path) for name, path in files.items()})


def write_onnx(finder: PersonFinder, folder: Path) -> dict[str, Path]:
    """Write both networks as ONNX, each compared with PyTorch in float64 before either file is written.

    Returns:
        'detector' and 'pose' -> file.

    Raises:
        GateError: a graph is further from PyTorch than float32's rounding explains.
        X3DDeployError: the files cannot be written.
    """
    networks = {
        "detector": (finder.detector, finder.picture),
        "pose": (finder.pose_network, finder.window),
    }
    graphs = {name: _graph(name, network, size) for name, (network, size) in networks.items()}
    for name, (network, size) in networks.items():
        _compare(name, graphs[name], network, size)
    for name, content in graphs.items():
        write_bytes(folder / f"{name}.onnx", content)
    return {name: folder / f"{name}.onnx" for name in graphs}


def _graph(name: str, network: nn.Module, size: tuple[int, int]) -> bytes:
    """The network in deploy form, BatchNorm in its convolutions; the same bytes for the same weights."""
    builder = GraphBuilder(name)
    program = trace(copy.deepcopy(network).cpu().eval(), {_INPUT: (3, *size)})
    given = builder.input(_INPUT, (BATCH_AXIS, 3, *size))
    (value,) = write(program, builder, "", {_INPUT: given}).outputs.values()
    builder.output(value.name, _OUTPUTS[name], (BATCH_AXIS, *value.shape))
    model = builder.model({"x3ddeploy.version": __version__})
    check_model(model)
    return serialize(model)


def _compare(name: str, graph: bytes, network: nn.Module, size: tuple[int, int]) -> None:
    """Hold a graph to what PyTorch computes in float64, on noise of the size that pixels have."""
    pictures = np.random.default_rng(_SEED).normal(size=(_COMPARED, 3, *size)).astype(np.float32)
    network = copy.deepcopy(network).cpu().eval()
    with torch.inference_mode():
        single = network(torch.from_numpy(pictures)).numpy()
        exact = network.double()(torch.from_numpy(pictures).double()).numpy()
    with open_session("onnxruntime", graph) as session:
        (actual,) = session.run({_INPUT: pictures}).values()
    difference, tolerance = compare(exact, actual), float32_tolerance(compare(exact, single).relative)
    if not difference.within(tolerance):
        raise GateError(
            f"{name}.onnx is {difference.relative:.1e} of its range from PyTorch, and {tolerance:.1e} is allowed",
            hint="nothing was written; report it with the config of the training",
        )
