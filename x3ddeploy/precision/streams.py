"""One stream of a recognizer, from its input to its logits, as a graph of its own; and its logits on clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx.utils import Extractor

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.families.two_stream_x3d.contract import STREAM_INPUTS
from x3ddeploy.runtimes.base import Array, Session
from x3ddeploy.runtimes.registry import open_session

Logits = npt.NDArray[np.float32]


def stream_graph(recognizer: onnx.ModelProto, stream: str) -> onnx.ModelProto:
    """The part of a recognizer that leads from one stream's input to its logits.

    Args:
        recognizer: any precision.
        stream: 'rgb' or 'pose'.
    """
    return Extractor(recognizer).extract_model([STREAM_INPUTS[stream]], [f"{stream}_logits"])


def open_stream(graph: onnx.ModelProto, runtime: str, threads: int | None = None) -> Session:
    """A session on a stream's graph."""
    return open_session(runtime, graph.SerializeToString(), threads=threads)


def logits_on(session: Session, stream: str, clips: Iterable[Mapping[str, Array]]) -> Logits:
    """(N, classes) logits of one stream, one clip at a time, as a deployment of batch 1 computes them.

    Raises:
        X3DDeployError: they are not finite.
    """
    source, output = STREAM_INPUTS[stream], f"{stream}_logits"
    rows = [session.run({source: clip[source]})[output] for clip in clips]
    logits = np.concatenate(rows).astype(np.float32)
    if not np.isfinite(logits).all():
        bad = [index for index, row in enumerate(logits) if not np.isfinite(row).all()]
        raise X3DDeployError(f"the {stream} logits are not finite", details=[f"clip {index}" for index in bad[:8]])
    return logits
