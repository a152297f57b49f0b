"""One calibration from clips to ranges: estimated, resumable, cached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from x3ddeploy.atomic import explain_os_errors, json_bytes, write_bytes
from x3ddeploy.calibration.cache import Calibration, CalibrationKey, calibrate, read_calibration
from x3ddeploy.calibration.choice import Chosen
from x3ddeploy.calibration.collect import collect, plan_runs
from x3ddeploy.calibration.statistics import TensorHistograms
from x3ddeploy.progress import Step

_SAVE_EVERY = 10  # clips


def run_calibration(
    model: onnx.ModelProto,
    tensors: tuple[str, ...],
    clips: Chosen,
    key: CalibrationKey,
    directory: Path,
    *,
    unsigned: bool,
    progress: Step,
    on_clip: Callable[[int, int], None],
) -> Calibration:
    """Ranges of `tensors` over `clips`; from the cache where the same was calibrated before.

    Interrupted, it keeps what it has, and goes on from there the next time.

    Args:
        model: float32 recognizer, both streams and the head in one graph.
        tensors: names of the tensors whose ranges are wanted.
        clips: the calibration clips.
        key: key of the cache.
        directory: directory of the cache: `<digest>.json`, and `<digest>.partial.npz` until it is whole.
        unsigned: see `choose_range`.
        progress: receives the steps, first of all the memory that it will take.
        on_clip: receives the number of clips done and of all.

    Raises:
        DataError: a clip cannot be read or gives values that are not finite.
    """
    digest = key.digest()
    file, partial = directory / f"{digest}.json", directory / f"{digest}.partial.npz"
    if file.exists():
        progress(f"ranges are those of {file}")
        partial.unlink(missing_ok=True)  # of one that was killed when it had written them
        return read_calibration(file, key)
    plan = plan_runs(model, tensors)
    progress(
        f"calibrating {len(tensors)} tensors with {len(clips.indices)} clips: about "
        f"{plan.estimate_bytes / 2**20:.0f} MiB of memory at most, whatever the number of clips"
    )
    with explain_os_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
    whole = TensorHistograms.load(partial, digest) if partial.exists() else TensorHistograms.empty(digest, tensors)
    if whole.clips:
        progress(f"going on after {len(whole.clips)} clips of an interrupted calibration")
    try:
        loaded = ((clip.name, clip.inputs) for clip in clips.load(start=len(whole.clips)))
        for counted in collect(model, plan, loaded, whole):
            whole = counted
            on_clip(len(whole.clips), len(clips.indices))
            if len(whole.clips) % _SAVE_EVERY == 0:
                whole.save(partial)
    except BaseException:
        if whole.clips:
            whole.save(partial)
        raise
    calibration = calibrate(key, whole.histograms, unsigned=unsigned)
    write_bytes(file, json_bytes(calibration))
    partial.unlink(missing_ok=True)
    return calibration
