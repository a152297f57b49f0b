"""TRN's head with the relations that it looks at drawn once, and not anew at each call."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmaction.models.heads.trn_head import RelationModuleMultiScale, TRNHead
from torch import Tensor

SEED = 0


class FixedRelations(RelationModuleMultiScale):
    """MMAction2's, which draws at most three sets of frames of each number at every call, in testing as well.

    The draw is NumPy's with the seed 0: what MMAction2's own head gives after `numpy.random.seed(0)`.
    """

    def __init__(self, hidden_dim: int, num_segments: int, num_classes: int) -> None:
        super().__init__(hidden_dim, num_segments, num_classes)
        random = np.random.RandomState(SEED)
        self.drawn = [self.relations_scales[0]] + [
            [known[place] for place in random.choice(len(known), count, replace=False)]
            for known, count in zip(self.relations_scales[1:], self.subsample_scales[1:], strict=True)
        ]

    def forward(self, x: Tensor) -> Tensor:
        votes = [
            fusion(x[:, list(frames)].flatten(1))
            for fusion, relations in zip(self.fc_fusion_scales, self.drawn, strict=True)
            for frames in relations
        ]
        return sum(votes[1:], votes[0])


class FixedTRNHead(TRNHead):
    """MMAction2's head, with its relations at several scales drawn once."""

    def __init__(self, num_classes: int, in_channels: int, **more: Any) -> None:
        super().__init__(num_classes, in_channels, **more)
        if self.relation_type == "TRNMultiScale":
            self.consensus = FixedRelations(self.hidden_dim, self.num_segments, self.num_classes)
