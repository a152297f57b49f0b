"""A network with random weights whose activations, and with them errors and latencies, are of a trained one's size.

Its BatchNorm statistics are those of moving synthetic clips. Its predictions mean nothing.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec
from x3ddeploy.families.two_stream_x3d.x3d import ConvBN, X3DBlock
from x3ddeploy.modalities.synthetic import batch_inputs

_BATCHES = 2
_CLIPS_A_BATCH = 2


def random_network(spec: ModelSpec, seed: int = 0) -> TwoStreamX3D:
    """A network in evaluation mode with random weights and the BatchNorm statistics of moving clips."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TwoStreamX3D(spec)
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
        for norm in norms:
            nn.init.uniform_(norm.weight, 0.5, 1.2)
            nn.init.normal_(norm.bias, 0.0, 0.15)
            norm.momentum = None  # a plain average over the batches
        for block in (module for module in network.modules() if isinstance(module, X3DBlock)):
            # Trained residual branches are small beside the path that they add to; at full strength a random network
            # is chaotic, and amplifies rounding by hundreds.
            nn.init.uniform_(cast(ConvBN, block.conv3).bn.weight, 0.1, 0.4)
        network.train()
        with torch.no_grad():
            for batch in range(_BATCHES):
                inputs = batch_inputs(clip_inputs(spec), _CLIPS_A_BATCH, seed=1000 * seed + batch)
                network(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    return network.eval()
