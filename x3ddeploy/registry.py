"""MMEngine registries of the scope 'x3ddeploy': children of MMAction2's, which are asked for what is not here.

MMEngine imports `<scope>.registry` by this very name. Own scope, because the original network's head is called
RGBPoseHead like MMAction2's; in the scope 'mmaction' that name keeps its meaning.
"""

from __future__ import annotations

from mmaction import registry as mmaction
from mmengine.registry import Registry

from x3ddeploy.families import family_named, known_families

SCOPE = "x3ddeploy"

_LOCATIONS = {
    "MODELS": [module for name in known_families() for module in family_named(name).training]
    + ["x3ddeploy.training.persons.finder"],
    "DATASETS": ["x3ddeploy.training.dataset", "x3ddeploy.training.persons.pictures"],
    "TRANSFORMS": ["x3ddeploy.training.decode"],
    "HOOKS": [
        f"x3ddeploy.training.{module}" for module in ("checkpoints", "repeatable", "divergence", "persons.onnx_files")
    ],
    "METRICS": ["x3ddeploy.training.persons.finder"],
}
# One child for each of MMAction2's, empty or not: where a scope has no registry, MMEngine falls back to its own root,
# and does not find what is MMAction2's.
_CHILDREN = {
    name: Registry(
        f"{SCOPE} {parent.name}",
        parent=parent,
        scope=SCOPE,
        locations=_LOCATIONS.get(name, []),
    )
    for name, parent in vars(mmaction).items()
    if isinstance(parent, Registry) and parent.scope == "mmaction"
}
MODELS = _CHILDREN["MODELS"]
DATASETS = _CHILDREN["DATASETS"]
TRANSFORMS = _CHILDREN["TRANSFORMS"]
HOOKS = _CHILDREN["HOOKS"]
METRICS = _CHILDREN["METRICS"]
