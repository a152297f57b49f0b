"""The prototype cosine as one product: the prototypes' norms do not depend on the clip.

cos(e, p_k) = (e . p_k / |p_k|) / max(|e|, eps): the prototypes are normalised once, and the embedding's norm is taken
once for all classes (torch.nn.functional.cosine_similarity, which clamps each norm at eps).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from x3ddeploy.lowering.replace import replaced
from x3ddeploy.models.head import COSINE_EPS, Head, Prototypes


class UnitPrototypes(nn.Module):
    """Prototypes of unit length: (N, channels) -> (N, classes) cosines."""

    def __init__(self, module: Prototypes) -> None:
        super().__init__()
        self.cl_fc = module.cl_fc
        norm = module.avg_f.double().norm(dim=0).clamp_min(COSINE_EPS)
        self.register_buffer("avg_f", (module.avg_f.double() / norm).float())
        self.avg_f: Tensor

    def forward(self, x: Tensor) -> Tensor:
        embedding = self.cl_fc(x)
        norm = torch.linalg.vector_norm(embedding, dim=1, keepdim=True).clamp_min(COSINE_EPS)
        return embedding @ self.avg_f / norm


def lower_head(head: Head) -> Head:
    """The head with every Prototypes as UnitPrototypes. Exact up to float rounding."""
    return replaced(head, Prototypes, lambda part: UnitPrototypes(cast(Prototypes, part)))
