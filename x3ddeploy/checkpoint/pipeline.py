"""MMAction2 data pipelines as data: which one describes inference, its steps, the frame size that it ends with."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from x3ddeploy.checkpoint.literals import Unreadable
from x3ddeploy.checkpoint.rules import class_name
from x3ddeploy.errors import CheckpointError

Step = Mapping[str, Any]

_MAX_WRAPPERS = 8  # RepeatDataset and its like, around the data set that holds the pipeline


class Split(Enum):
    """Whose pipeline it is, in the order in which they describe inference."""

    TEST = "test"
    VAL = "val"
    TRAIN = "train"


class Pipeline(NamedTuple):
    """A pipeline's entries as the config has them (dicts, where it is well formed), and whose they are."""

    steps: list[Any]
    split: Split


def find_pipeline(config: Mapping[str, Any]) -> Pipeline | Unreadable:
    """The test pipeline, else the validation's, else the training's; empty where the config has none.

    What the data loader runs goes before the top-level variable, which command-line overrides may have left behind.

    Raises:
        CheckpointError: the data loader joins data sets whose pipelines differ.
    """
    for split in Split:
        for pipeline in (_of_loader(config.get(f"{split.value}_dataloader")), config.get(f"{split.value}_pipeline")):
            if isinstance(pipeline, Unreadable):
                return pipeline
            if isinstance(pipeline, (list, tuple)) and pipeline:
                doubtful = [step.get("type") if isinstance(step, Mapping) else step for step in pipeline]
                unreadable = [doubt for doubt in doubtful if isinstance(doubt, Unreadable)]
                return unreadable[0] if unreadable else Pipeline(list(pipeline), split)
    return Pipeline([], Split.TEST)


def step_named(pipeline: list[Any], name: str) -> Step | None:
    """The last step of type `name`, None where there is none."""
    return next((step for step in reversed(pipeline) if step_name(step) == name), None)


def frame_size(pipeline: list[Any], split: Split) -> tuple[Any, Any] | Unreadable | None:
    """(width, height) after the last step that fixes both; None where no step does.

    The crops of a training pipeline are random: the size after them is unknown until a resize.
    """
    size: tuple[Any, Any] | Unreadable | None = None
    for step in pipeline:
        name = step_name(step)
        if name == "Resize":
            scale, keep_ratio = step.get("scale"), step.get("keep_ratio", True)
            unreadable = next((value for value in (scale, keep_ratio) if isinstance(value, Unreadable)), None)
            size = unreadable or (_pair(scale) if keep_ratio is False and isinstance(scale, (list, tuple)) else None)
        elif name == "CenterCrop":
            crop = step.get("crop_size")
            size = crop if isinstance(crop, Unreadable) else _pair(crop)
        elif split is Split.TRAIN and "Crop" in name:
            size = None
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
        dataset = dataset.get("dataset") or _alike(dataset.get("datasets"))
    return None


def _alike(datasets: Any) -> Any:
    """The first of the data sets that are tested as one; None where there are none."""
    if not isinstance(datasets, (list, tuple)) or not datasets:
        return None
    pipelines = [_of_loader(dataset) for dataset in datasets]
    if any(pipeline != pipelines[0] for pipeline in pipelines):
        raise CheckpointError(
            "the config joins data sets whose pipelines differ: a bundle has one",
            hint="give a config with one data set",
        )
    return datasets[0]


def step_name(step: Any) -> str:
    """A step's type without the module that lazily dumped configs put before it; empty for what is no step."""
    return (class_name(step.get("type")) or "") if isinstance(step, Mapping) else ""
