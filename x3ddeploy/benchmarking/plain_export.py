"""torch.onnx.export as it comes: what a network is without a lowering of its own."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.runtimes.base import Array


def plain_export(
    network: nn.Module, inputs: Mapping[str, Array], outputs: list[str], *, dynamic_batch: bool = False
) -> bytes:
    """The network as an ONNX file by PyTorch's default exporter.

    Args:
        network: a network in evaluation mode; its forward takes `inputs` by their names.
        inputs: example arrays; with a dynamic batch of at least two clips, since the exporter takes one for a constant.
        outputs: their names.
        dynamic_batch: whether the first axis of every input is dynamic.

    Raises:
        MissingRequirementError: onnxscript, which PyTorch's exporter needs, is not installed.
    """
    axes: Any = {name: {0: torch.export.Dim("N")} for name in inputs} if dynamic_batch else None
    # The exporter tells of operators of packages that are not here, and of its own deprecations.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                network,
                (),
                kwargs={name: torch.from_numpy(value) for name, value in inputs.items()},
                input_names=list(inputs),
                output_names=outputs,
                dynamic_shapes=axes,
                dynamo=True,
                verbose=False,
            )
        except ModuleNotFoundError as error:
            raise MissingRequirementError(
                f"PyTorch's ONNX exporter needs {error.name}", hint="pip install 'x3ddeploy[bench]'"
            ) from error
    assert program is not None
    return program.model_proto.SerializeToString()
