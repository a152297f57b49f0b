"""Which clips calibrate, and which judge: never the same, and never of the same people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from x3ddeploy.calibration.cache import RANDOM
from x3ddeploy.calibration.recipe import Recipe
from x3ddeploy.contract import Contract, Input
from x3ddeploy.data.annotations import Annotations, LabelledVideo, read_labels
from x3ddeploy.data.loader import iterate_clips
from x3ddeploy.data.sources import ClipSource, LabelledClip, open_source
from x3ddeploy.data.subset import balanced_choice, leaking_names
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.modalities import one_view
from x3ddeploy.modalities.synthetic import batch_inputs

_WORKERS = 2
_PREFETCH = 4
_RANDOM_SEED = 20_000  # far from the seeds of golden data and of parity cases


@dataclass(frozen=True)
class Chosen:
    """Some clips of a source, by index, in order."""

    source: ClipSource
    indices: tuple[int, ...]

    def names(self) -> list[str]:
        """Names of the clips."""
        names = self.source.names()
        return [names[index] for index in self.indices]

    def labels(self) -> list[int | None]:
        """Classes of the clips, where they are known."""
        labels = self.source.labels()
        return [labels[index] for index in self.indices]

    def load(self, start: int = 0) -> Iterator[LabelledClip]:
        """The clips from the `start`-th on, loaded ahead in threads.

        Raises:
            DataError: a clip cannot be read, or shows nobody: a network would be judged by empty pictures.
        """
        for clip in iterate_clips(self.source, self.indices[start:], workers=_WORKERS, prefetch=_PREFETCH):
            if clip.people is not None and not clip.people.seen:
                raise DataError(
                    f"{clip.name} of {self.source.name} shows no person, and neither calibrates nor judges",
                    hint="leave the clip out, or choose others with --seed",
                )
            yield clip


@dataclass(frozen=True)
class ClipSets:
    """What calibrates, and what judges; None where there is nothing to judge with."""

    calibration: Chosen
    evaluation: Chosen | None


class RandomClips:
    """Made-up clips: moving figures that show nothing. Tools run with them; their ranges are not to be trusted."""

    name = "made-up clips"
    split = None

    def __init__(self, inputs: Mapping[str, Input], count: int, seed: int) -> None:
        self._inputs, self._count, self._seed = inputs, count, seed
        self.description: Mapping[str, Any] = {"kind": RANDOM, "seed": seed, "clips": count}

    def __len__(self) -> int:
        return self._count

    def names(self) -> Sequence[str]:
        return [f"random{index}" for index in range(self._count)]

    def labels(self) -> Sequence[int | None]:
        return [None] * self._count

    def load(self, index: int) -> LabelledClip:
        inputs = batch_inputs(self._inputs, 1, seed=_RANDOM_SEED + 1000 * self._seed + index)
        return LabelledClip(f"random{index}", None, inputs)


def random_clips(contract: Contract, recipe: Recipe) -> ClipSets:
    """Made-up clips to calibrate with, and nothing to judge with."""
    source = RandomClips(contract.inputs, recipe.clips, recipe.seed)
    return ClipSets(Chosen(source, tuple(range(recipe.clips))), None)


def choose_clips(recipe: Recipe, contract: Contract) -> ClipSets:
    """Clips by a recipe, of each video one view. Sources without splits are divided: clips that calibrate do not judge.

    Args:
        recipe: names the data.
        contract: what the network takes.

    Raises:
        UsageError: no data, no such split, or none that is clearly the training split.
        DataError: the calibration clips show what accuracy is measured on.
    """
    if recipe.data is None:
        raise UsageError("no clips to calibrate with", hint="name them with --calib PATH or in a recipe")
    score = recipe.min_keypoint_score
    path, videos = Path(recipe.data), Path(recipe.videos) if recipe.videos else None
    # One view of a video tells as much of the values in a network as all of them.
    contract = replace(contract, inputs=one_view(contract.inputs))
    annotations = _annotations(path)
    if annotations is None:
        return _divided(open_source(path, contract, recipe.split, videos, min_keypoint_score=score), recipe)
    split = recipe.split or _training_split(annotations)
    source = open_source(path, contract, split, videos, min_keypoint_score=score)
    chosen = Chosen(source, tuple(balanced_choice(source.labels(), min(recipe.clips, len(source)), recipe.seed)))
    leaks = leaking_names(chosen.names(), annotations, split)
    if leaks:
        raise DataError(
            f"{len(leaks)} of the calibration clips are, or show people, that accuracy is measured on",
            details=list(leaks[:12]),
            hint="calibrate with clips of the training split: --calib-split",
        )
    held_out = recipe.eval_split or _held_out_split(annotations, split)
    if held_out is None:
        return ClipSets(chosen, None)
    if set(annotations.splits.get(held_out, ())) & set(chosen.names()):
        raise DataError(f"the split {held_out!r} holds clips that calibrate", hint="choose another --eval-split")
    judges = open_source(path, contract, held_out, videos, min_keypoint_score=score)
    return ClipSets(chosen, Chosen(judges, _judging(judges, range(len(judges)), recipe)))


def _annotations(path: Path) -> Annotations[LabelledVideo] | None:
    file = path / "annotations.pkl" if path.is_dir() else path
    return read_labels(file) if file.is_file() and file.suffix in (".pkl", ".pickle") else None


def _training_split(annotations: Annotations) -> str:
    found = [name for name in annotations.splits if "train" in name]
    if len(found) == 1:
        return found[0]
    # NTU RGB+D's first protocol, where a file has several.
    if "xsub_train" in found:
        return "xsub_train"
    raise UsageError(
        f"which split calibrates? the annotations have {', '.join(annotations.splits)}",
        hint="choose with --calib-split",
    )


def _held_out_split(annotations: Annotations, split: str) -> str | None:
    names = (split.replace("train", part) for part in ("val", "test"))
    return next((name for name in names if name != split and name in annotations.splits), None)


def _divided(source: ClipSource, recipe: Recipe) -> ClipSets:
    """A source without splits: at most half of it calibrates, the rest judges."""
    count = min(recipe.clips, (len(source) + 1) // 2)
    indices = tuple(balanced_choice(source.labels(), count, recipe.seed))
    rest = [index for index in range(len(source)) if index not in set(indices)]
    return ClipSets(Chosen(source, indices), Chosen(source, _judging(source, rest, recipe)) if rest else None)


def _judging(source: ClipSource, candidates: Sequence[int], recipe: Recipe) -> tuple[int, ...]:
    if not recipe.eval_clips or recipe.eval_clips >= len(candidates):
        return tuple(candidates)
    labels = source.labels()
    picked = balanced_choice([labels[index] for index in candidates], recipe.eval_clips, recipe.seed)
    return tuple(candidates[index] for index in picked)
