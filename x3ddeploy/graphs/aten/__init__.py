"""One handler an ATen operator: the ONNX nodes that compute the same, with every size a constant but N."""

from x3ddeploy.graphs.aten import arithmetic, convolutions, matrices, pooling, reshaping  # noqa: F401 they fill HANDLERS
from x3ddeploy.graphs.draft import HANDLERS

__all__ = ["HANDLERS"]
