"""MMEngine registries of the scope 'x3ddeploy': children of MMAction2's, which are asked for what is not here.

MMEngine imports `<scope>.registry` by this very name. Own scope, because the original network's head is called
RGBPoseHead like MMAction2's; in the scope 'mmaction' that name keeps its meaning.
"""

from __future__ import annotations

from mmaction import registry as mmaction
from mmengine.registry import Registry

SCOPE = "x3ddeploy"

MODELS = Registry(
    "x3ddeploy model",
    parent=mmaction.MODELS,
    scope=SCOPE,
    locations=[f"x3ddeploy.training.{name}" for name in ("backbones", "head", "recognizer")],
)
DATASETS = Registry(
    "x3ddeploy dataset", parent=mmaction.DATASETS, scope=SCOPE, locations=["x3ddeploy.training.dataset"]
)
TRANSFORMS = Registry(
    "x3ddeploy transform", parent=mmaction.TRANSFORMS, scope=SCOPE, locations=["x3ddeploy.training.decode"]
)
HOOKS = Registry(
    "x3ddeploy hook",
    parent=mmaction.HOOKS,
    scope=SCOPE,
    locations=[f"x3ddeploy.training.{name}" for name in ("seeding", "divergence")],
)
