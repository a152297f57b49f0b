"""The machine's own ceilings, measured: how fast it multiplies matrices, and how fast it copies memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper

from x3ddeploy.runtimes.registry import graph_runtimes, open_session

# Large enough to leave the caches behind and to reach a GEMM's best rate; small enough to take tenths of a second.
_MATRIX, _MATRIX_CUDA = 1536, 8192
_COPIED_BYTES = 256 << 20
_REPEATS = 6


# What is none is refused when a report is read.
Rate = Annotated[float, msgspec.Meta(gt=0, le=1e21)]


@dataclass(frozen=True)
class Ceilings:
    """The best of a few runs, in the same number of threads as the competitors.

    Attributes:
        device: 'cpu' or a GPU's name.
        gemm_flops: precision -> floating-point (or integer) operations a second of a square matrix product; a
            multiply-add is two. On a CPU the best of PyTorch's, ONNX Runtime's and OpenVINO's float32 product, since
            none of their libraries is the fastest everywhere. None where the device has no such product.
        copy_bytes_per_s: bytes read plus bytes written a second, of a copy that no cache holds.
    """

    device: str
    gemm_flops: dict[str, Rate | None]
    copy_bytes_per_s: Rate


def measure_ceilings(device: str = "cpu", repeats: int = _REPEATS) -> Ceilings:
    """Measure; a second or two.

    Args:
        device: PyTorch's name, 'cpu' or 'cuda'.
        repeats: runs of each, of which the fastest counts.
    """
    cuda = device == "cuda"
    size = _MATRIX_CUDA if cuda else _MATRIX
    types = {"fp32": torch.float32}
    if cuda:
        types |= {"fp16": torch.float16, "bf16": torch.bfloat16}
    gemm: dict[str, float | None] = {}
    for name, dtype in types.items():
        a, b = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
        products: list[Callable[[], object]] = [lambda a=a, b=b: torch.mm(a, b)]  # type: ignore[misc]
        products += [] if cuda else _products_of_runtimes(size)
        gemm[name] = 2 * size**3 / min(_best(product, cuda, repeats) for product in products)
    gemm["int8"] = _integer_rate(size, device, cuda, repeats)
    source = torch.ones(_COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    seconds = _best(lambda: target.copy_(source), cuda, repeats)
    name = torch.cuda.get_device_name() if cuda else "cpu"
    return Ceilings(name, gemm, 2 * _COPIED_BYTES / seconds)


def _products_of_runtimes(size: int) -> list[Callable[[], object]]:
    """A float32 product in each CPU runtime that is here, in as many threads as PyTorch's."""
    values = np.random.default_rng(0).random((size, size), np.float32)
    shape = helper.make_tensor_type_proto(TensorProto.FLOAT, (size, size))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [helper.make_value_info("a", shape)],
        [helper.make_value_info("c", shape)],
        [numpy_helper.from_array(values, "b")],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    sessions = [open_session(runtime, model, threads=torch.get_num_threads()) for runtime in graph_runtimes()]
    return [lambda session=session: session.run({"a": values}) for session in sessions]  # type: ignore[misc]


def _integer_rate(size: int, device: str, cuda: bool, repeats: int) -> float | None:
    a, b = (torch.randint(-8, 8, (size, size), dtype=torch.int8, device=device) for _ in range(2))
    try:
        return float(2 * size**3 / _best(lambda: torch._int_mm(a, b), cuda, repeats))
    except (RuntimeError, NotImplementedError):
        return None


def _best(run: Callable[[], object], cuda: bool, repeats: int) -> float:
    """Seconds of the fastest run."""
    times = []
    run()
    for _ in range(repeats):
        if cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)
