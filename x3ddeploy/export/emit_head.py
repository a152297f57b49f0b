"""The head and the score fusion to ONNX nodes."""

from __future__ import annotations

import numpy as np
from torch import nn

from x3ddeploy.export.emit import Value, array, linear
from x3ddeploy.export.graph import GraphBuilder
from x3ddeploy.lowering.head import UnitPrototypes
from x3ddeploy.models.head import COSINE_EPS, POSE_RECTIFICATION, RGB_RECTIFICATION, Head


def emit_head(
    head: Head, graph: GraphBuilder, rgb_feat: Value, pose_feat: Value, fusion: tuple[float, float]
) -> dict[str, Value]:
    """Append a lowered head; gives its outputs by their outside names, `scores` last.

    Args:
        head: from `lower_head`.
        graph: where to.
        rgb_feat: (N, C, T, H, W) features.
        pose_feat: the same of the pose stream.
        fusion: weights of the RGB and the pose stream in `scores`.
    """
    outputs: dict[str, Value] = {}
    scores = []
    for stream, features, strength, weight in (
        ("rgb", rgb_feat, RGB_RECTIFICATION, fusion[0] / sum(fusion)),
        ("pose", pose_feat, POSE_RECTIFICATION, fusion[1] / sum(fusion)),
    ):
        with graph.scope("head"), graph.scope(stream):
            pooled = graph.node("ReduceMean", features.name, name="pool", axes=[2, 3, 4], keepdims=0)
            logits = _fc(head, graph, pooled, f"fc_{stream}")
            if head.spec.prototype_dim:
                cosine = _cosine(head, graph, pooled, f"fr_{stream}.spatio_cl_net")
                with graph.scope("rectify"):
                    factor = graph.constant(f"head/{stream}/strength", np.float32(strength))
                    logits = graph.node("Add", logits, graph.node("Mul", cosine, factor))
            outputs[f"{stream}_logits"] = Value(logits, (head.spec.classes,))
            if head.spec.coarse_classes:
                coarse = _fc(head, graph, pooled, f"fc_{stream}_coarse")
                outputs[f"{stream}_coarse_logits"] = Value(coarse, (head.spec.coarse_classes,))
            probabilities = graph.node("Softmax", logits, axis=1)
            fusion_weight = graph.constant(f"head/{stream}/fusion_weight", np.float32(weight))
            scores.append(graph.node("Mul", probabilities, fusion_weight, name="weigh"))
    with graph.scope("head"):
        outputs["scores"] = Value(graph.node("Add", *scores, name="fuse"), (head.spec.classes,))
    return outputs


def _fc(head: Head, graph: GraphBuilder, x: str, name: str) -> str:
    module: nn.Linear = getattr(head, name)
    return linear(module, graph, x, f"cls_head.{name}")


def _cosine(head: Head, graph: GraphBuilder, x: str, path: str) -> str:
    module = head.get_submodule(path)
    assert isinstance(module, UnitPrototypes)
    with graph.scope("prototypes"):
        embedding = linear(module.cl_fc, graph, x, f"cls_head.{path}.cl_fc")
        norm = graph.node("ReduceL2", embedding, axes=[1], keepdims=1)
        norm = graph.node("Max", norm, graph.constant("head/cosine_eps", np.float32(COSINE_EPS)))
        product = graph.node("MatMul", embedding, graph.constant(f"cls_head.{path}.avg_f", array(module.avg_f)))
        cosine: str = graph.node("Div", product, norm)
        return cosine
