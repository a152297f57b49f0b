"""From a 1080p H.264 file of 100 frames to scores, against decoding alone and against computing alone.

Decoding alone is PyAV's, every frame, with as many threads; computing alone is the scope `compute`. All in turn. As it
opens a file PyAV lets FFmpeg decode the first frame to learn what it holds, and decodes it again; without this decoding
alone stands in a row of its own.
Besides, the processor time of each: what a run keeps both cores busy for cannot be overlapped with anything, so a file
takes at least its processor time over the number of cores. And how busy the cores are while many such files are gone
through ahead of their use. Writes benchmarks/results/way_to_scores.json.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import av
import click
import numpy as np
from written import measured_by

import x3ddeploy
from x3ddeploy.atomic import write_json
from x3ddeploy.contract import Input
from x3ddeploy.data.loader import iterate_clips
from x3ddeploy.data.sources import LabelledClip
from x3ddeploy.data.video import iter_pictures
from x3ddeploy.machine import usable_cores
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.prediction.inputs import KeypointFiles
from x3ddeploy.prediction.predict import OpenedVideo, open_video
from x3ddeploy.prediction.windows import VideoWindows, Window
from x3ddeploy.timing.measure import measure, ratio, statistics

FRAMES, HEIGHT, WIDTH = 100, 1080, 1920


def write_files(folder: Path) -> tuple[Path, Path]:
    """A moving texture by x264's defaults (B frames, a keyframe in 100 frames; slices), and two swaying persons."""
    random = np.random.default_rng(0)
    texture = np.kron(random.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    video, keypoints = folder / "clip.mp4", folder / "clip.npz"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for index in range(FRAMES):
            shown = np.roll(texture, (index, 3 * index), axis=(0, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode())
    places = random.uniform(0.3, 0.7, (2, 1, 17, 2)) + random.normal(0, 0.01, (2, FRAMES, 17, 2))
    scores = random.uniform(0.5, 1, (2, FRAMES, 17))
    np.savez(
        keypoints, keypoints=(places * (WIDTH, HEIGHT)).astype(np.float32), keypoint_scores=scores.astype(np.float32)
    )
    return video, keypoints


def decode(path: Path, threads: int, options: Mapping[str, str]) -> None:
    """Every frame, as PyAV gives it."""
    with av.open(str(path), options=dict(options)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "AUTO", threads
        assert sum(1 for _ in container.decode(stream)) == FRAMES


def processor_ms(run: Callable[[], object], runs: int = 10) -> float:
    """Processor time of a run on all cores, the mean of some."""
    start = time.process_time()
    for _ in range(runs):
        run()
    return 1e3 * (time.process_time() - start) / runs


class Again:
    """One video as many, each decoded by one thread, as `eval` loads its clips."""

    split, name = None, "again"
    description: Mapping[str, Any] = {}

    def __init__(self, video: Path, opened: OpenedVideo, inputs: Mapping[str, Input], count: int) -> None:
        window, reader = [Window(0, FRAMES)], partial(iter_pictures, video)
        self._clip = VideoWindows(video, opened.annotation, FRAMES, inputs, window, None, None, read=reader)
        self._count = count

    def __len__(self) -> int:
        return self._count

    def names(self) -> Sequence[str]:
        return [str(index) for index in range(self._count)]

    def labels(self) -> Sequence[int | None]:
        return [None] * self._count

    def load(self, index: int) -> LabelledClip:
        return self._clip.load(0)


@click.command(help=__doc__)
@click.argument("bundle", type=click.Path(path_type=Path), default="deploy")
@click.option("--runtime", default="onnxruntime", show_default=True)
@click.option("--seconds", default=40.0, show_default=True)
@click.option("--videos", default=60, show_default=True, help="Gone through for the share of busy cores.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/way_to_scores.json"))
def main(bundle: Path, runtime: str, seconds: float, videos: int, output: Path) -> None:
    """Measure and write."""
    threads = usable_cores()
    with tempfile.TemporaryDirectory() as directory, x3ddeploy.open(bundle, runtime=runtime) as recognizer:
        video, keypoints = write_files(Path(directory))
        clip = batch_inputs(recognizer.contract.inputs, 1, seed=0)
        runs = {
            "decoding alone": lambda: decode(video, threads, {}),
            "decoding alone, the first frame once": lambda: decode(video, threads, {"skip_frame": "all"}),
            "compute": lambda: recognizer.predict_clips(clip),
            "file to scores": lambda: recognizer.predict(video, keypoints),
        }
        samples = measure(runs, seconds).samples_ms
        computed = {name: processor_ms(run) for name, run in runs.items()}
        opened = open_video(video, KeypointFiles(keypoints, 1), recognizer.contract.inputs)
        source = Again(video, opened, recognizer.contract.inputs, videos)
        start, before = time.perf_counter(), os.times()
        for loaded in iterate_clips(source, workers=threads):
            recognizer.predict_clips(loaded.inputs)
        wall, after = time.perf_counter() - start, os.times()
    busy = (after.user - before.user + after.system - before.system) / (wall * threads)
    longer = [max(pair) for pair in zip(samples["decoding alone"], samples["compute"], strict=True)]
    document = {
        **measured_by(__file__, "x3ddeploy", "av", runtime),
        "threads": threads,
        "rows": {name: {**asdict(statistics(values)), "samples_ms": values} for name, values in samples.items()},
        "over_the_longer": asdict(ratio(samples["file to scores"], longer)),
        "processor_ms": computed,
        "least_over_the_longer": computed["file to scores"] / threads / statistics(longer).median_ms,
        "videos": {"count": videos, "seconds": wall, "busy_share_of_cores": busy},
    }
    write_json(output, document)
    for name, values in samples.items():
        click.echo(f"{statistics(values).median_ms:8.1f} ms  {name}")
    click.echo(f"{document['over_the_longer']['median']:.2f} times the longer of decoding alone and compute")
    click.echo(f"{document['least_over_the_longer']:.2f} times at least, by its processor time on {threads} cores")
    for name, value in computed.items():
        click.echo(f"{value:8.1f} ms of processor time  {name}")
    click.echo(f"{videos} videos in {wall:.1f} s, {busy:.0%} of {threads} cores busy")


if __name__ == "__main__":
    main()
