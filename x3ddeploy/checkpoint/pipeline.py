"""MMAction2 data pipelines as data: which one describes inference, its steps, the frame size that it ends with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from x3ddeploy.checkpoint.literals import Unreadable

Step = Mapping[str, Any]

_CROPS = ("CenterCrop", "ThreeCrop", "TenCrop", "RandomCrop")
_MAX_WRAPPERS = 8  # RepeatDataset and its like, around the data set that holds the pipeline


def find_pipeline(config: Mapping[str, Any]) -> list[Step] | Unreadable:
    """The test pipeline, else the validation's, else the training's; empty where the config has none.

    What the data loader runs goes before the top-level variable, which command-line overrides may have left behind.
    """
    for split in ("test", "val", "train"):
        for pipeline in (_of_loader(config.get(f"{split}_dataloader")), config.get(f"{split}_pipeline")):
            if isinstance(pipeline, Unreadable):
                return pipeline
            if isinstance(pipeline, (list, tuple)) and pipeline:
                doubtful = [step if isinstance(step, Unreadable) else _type(step) for step in pipeline]
                unreadable = [doubt for doubt in doubtful if isinstance(doubt, Unreadable)]
                return unreadable[0] if unreadable else [step for step in pipeline if isinstance(step, Mapping)]
    return []


def step_named(pipeline: list[Step], name: str) -> Step | None:
    """The last step of type `name`, None where there is none."""
    return next((step for step in reversed(pipeline) if _name(step) == name), None)


def frame_size(pipeline: list[Step]) -> tuple[Any, Any] | Unreadable | None:
    """(width, height) after the last step that fixes both; None where the frames' size depends on the video."""
    size: tuple[Any, Any] | Unreadable | None = None
    for step in pipeline:
        if _name(step) == "Resize":
            keep_ratio, scale = step.get("keep_ratio", True), step.get("scale")
            if isinstance(keep_ratio, Unreadable) or isinstance(scale, Unreadable):
                size = keep_ratio if isinstance(keep_ratio, Unreadable) else scale
            else:
                size = _pair(scale) if keep_ratio is False and isinstance(scale, (list, tuple)) else None
        elif _name(step) == "RandomResizedCrop":
            size = None
        elif _name(step) in _CROPS:
            crop = step.get("crop_size")
            size = crop if isinstance(crop, Unreadable) else _pair(crop)
    return size


def _pair(value: Any) -> tuple[Any, Any] | None:
    if isinstance(value, (list, tuple)):
        return (value[0], value[1]) if len(value) == 2 and -1 not in value else None
    return (value, value)


def _of_loader(loader: Any) -> Any:
    """The pipeline in a data loader's config, None where it has none."""
    dataset = loader
    for _ in range(_MAX_WRAPPERS):
        if isinstance(dataset, Unreadable) or not isinstance(dataset, Mapping):
            return dataset if isinstance(dataset, Unreadable) else None
        if "pipeline" in dataset:
            return dataset["pipeline"]
        dataset = dataset.get("dataset")
    return None


def _type(step: Any) -> Any:
    return step.get("type") if isinstance(step, Mapping) else None


def _name(step: Step) -> str:
    """A step's type without the module that lazily dumped configs put before it."""
    kind = _type(step)
    return kind.rpartition(".")[2] if isinstance(kind, str) else ""
