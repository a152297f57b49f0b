"""PyTorch: the training-form network, rebuilt from a bundle's own weights.

It shares no graph with what it is compared to: of the ONNX file only the weights and the metadata are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import torch

from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.errors import MissingRequirementError, UsageError
from x3ddeploy.loading import restore_network
from x3ddeploy.runtimes.base import Array, Session, check_feeds


def require_device(device: str) -> None:
    """Raises MissingRequirementError where PyTorch has no such device."""
    if device != "cpu" and not torch.cuda.is_available():
        raise MissingRequirementError(
            f"PyTorch {torch.__version__} sees no GPU",
            hint="a build of PyTorch with CUDA, on a machine with an NVIDIA GPU",
        )


def allow_tf32(allowed: bool) -> None:
    """Whether PyTorch may round what it multiplies to TF32 on a GPU, from now on; by default its convolutions do."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed


class TorchSession(Session):
    """One part of the training-form network, eager, float32."""

    runtime = "torch"
    version = torch.__version__

    def __init__(self, model: onnx.ModelProto, device: str, threads: int | None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.inputs = {
            value.name: tuple(dim.dim_value or None for dim in value.type.tensor_type.shape.dim)
            for value in model.graph.input
        }
        self.outputs = tuple(value.name for value in model.graph.output)
        self._place = torch.device(device)
        self.device = "cpu" if device == "cpu" else torch.cuda.get_device_name(self._place)
        self._forward = restore_network(model).to(self._place).part(PartMetadata.of(model).part)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(self.inputs, feeds)
        if self._place.type == "cuda":
            allow_tf32(False)  # float32 is float32
        with torch.inference_mode():
            outputs = self._forward(*(torch.from_numpy(feeds[name]).to(self._place) for name in self.inputs))
        return {name: value.cpu().numpy() for name, value in outputs.items()}


def open_model(model: Path | bytes, *, device: str, threads: int | None, outputs: tuple[str, ...]) -> TorchSession:
    """See `x3ddeploy.runtimes.registry.open_session`; inner tensors are not to be had here."""
    if outputs:
        raise UsageError("the torch runtime is the reference of a per-block comparison, not a side of it")
    proto = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model)
    return TorchSession(proto, device, threads)
