"""Many callers of one C++ recognizer, each with 1080p frames of its own: what loading and batching make of two cores.

    The shared library (cmake -DBUILD_SHARED_LIBS=ON) and a bundle from `x3ddeploy export --target openvino`, whose INT8
    graphs from `x3ddeploy quantize --int8` are measured where it has them:
    python benchmarks/cpp_callers.py deploy --library build/shared/libx3ddeploy.so

In turns one caller after the other prepares and computes a clip on a network that is loaded for the shortest call,
with all cores. In every other setting all call at once; in a pool each caller is a camera, and windows are computed
together. Settings take turns in each round; told are medians of the rounds, and how many times as many calls a second
as in turns. Adds the bundle, by its folder's name, to benchmarks/results/cpp_callers.json, and writes the table of
docs/embed.md.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from written import write_table

from x3ddeploy.atomic import write_json
from x3ddeploy.bundle import Bundle
from x3ddeploy.machine import machine

sys.path.append(str(Path(__file__).parents[1] / "cpp" / "examples" / "python"))
from x3d import FORMATS, FOUND, Frame, Library, Options, PoolOptions, Poses, StreamOptions

CALLERS, FRAMES, HEIGHT, WIDTH = 8, 32, 1080, 1920
RESULT = Path(__file__).parent / "results" / "cpp_callers.json"
TURNS = "in turns"
# What `open` is given; how many windows a pool computes together, or nothing for calls. Two cores can make twice the
# calls of one thread at most.
SETTINGS: dict[str, tuple[dict[str, int], int | None]] = {
    TURNS: ({}, None),
    "in turns, on one thread": ({"threads": 1}, None),
    "all at once, loaded for the shortest call": ({}, None),
    "all at once, loaded for throughput": ({"throughput": 1}, None),
    "two requests of one thread each": ({"throughput": 1, "requests": 2, "threads": 2}, None),
    "a pool, 4 windows together": ({}, 4),
    "a pool, 8 windows together": ({}, 8),
}
Call = Callable[[int], None]


class Scene:
    """Noise in which one person moves, and what the C interface takes of it."""

    def __init__(self, joints: int) -> None:
        random = np.random.default_rng(0)
        self.pictures = list(random.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8))
        self.keypoints = (random.uniform(0.19, 0.83, (1, FRAMES, joints, 2)) * HEIGHT).astype(np.float32)
        self.scores = np.ones((1, FRAMES, joints), np.float32)
        self.poses = [
            Poses(ctypes.sizeof(Poses), 1, joints, self.keypoints[0, i].ctypes.data, self.scores[0, i].ctypes.data)
            for i in range(FRAMES)
        ]
        self.frames = [
            Frame(ctypes.sizeof(Frame), FORMATS["rgb"], HEIGHT, WIDTH, (ctypes.c_void_p * 3)(picture.ctypes.data))
            for picture in self.pictures
        ]


@contextmanager
def calls(library: Library, bundle: Path, scene: Scene, options: dict[str, Any], batch: int | None) -> Iterator[Call]:
    """What a caller does again and again, given its number."""
    recognizer = library.open(str(bundle), Options(ctypes.sizeof(Options), b"openvino", warm_up=1, **options))
    if batch is None:

        def call(_: int) -> None:
            library.predict(recognizer, scene.pictures, "rgb", (HEIGHT, WIDTH), scene.keypoints, scene.scores)

        yield call
    else:
        with cameras(library, recognizer, scene, batch) as of_camera:
            yield of_camera
    library.c.x3d_close(recognizer)


@contextmanager
def cameras(library: Library, recognizer: int, scene: Scene, batch: int) -> Iterator[Call]:
    """A window's frames are pushed, and its prediction is waited for."""
    told = [threading.Semaphore(0) for _ in range(CALLERS)]
    found = FOUND(lambda _, camera, __: told[camera].release())
    c = library.c
    windows = StreamOptions(ctypes.sizeof(StreamOptions), FRAMES, FRAMES)
    together = PoolOptions(ctypes.sizeof(PoolOptions), batch)
    pool = c.x3d_pool_open(recognizer, windows, together, found, None)
    if pool is None:
        raise library.error()
    clocks = [itertools.count() for _ in range(CALLERS)]

    def call(camera: int) -> None:
        for frame, poses in zip(scene.frames, scene.poses, strict=True):
            seconds = next(clocks[camera]) / 25
            if c.x3d_pool_push(pool, camera, frame, poses, seconds) != 0:
                raise library.error()
        told[camera].acquire()

    yield call
    c.x3d_pool_close(pool)


def calls_a_second(call: Call, in_turns: bool, seconds: float) -> float:
    """Calls a second of all callers together, over that many seconds."""
    turn = threading.Lock()
    counts = [0] * CALLERS
    begin = time.perf_counter()

    def caller(number: int) -> None:
        while True:
            if in_turns:
                with turn:
                    call(number)
            else:
                call(number)
            counts[number] += 1
            if time.perf_counter() - begin > seconds:
                return

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begin)


def measured(library: Library, bundle: Path, precision: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Calls a second of each setting, and their ratio to those in turns."""
    inputs = Bundle.open(bundle).contract.inputs.values()
    scene = Scene(next((value.clip_shape[0] for value in inputs if value.keypoint_order is not None), 17))
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, (options, batch) in SETTINGS.items():
            with calls(library, bundle, scene, {**options, "precision": precision.encode()}, batch) as call:
                call(0)
                found.setdefault(name, []).append(calls_a_second(call, name.startswith(TURNS), seconds))
    turns = found[TURNS]
    return {
        name: {
            "calls_a_second": statistics.median(each),
            "gain": statistics.median(one / turn for one, turn in zip(each, turns, strict=True)),
        }
        for name, each in found.items()
    }


def rows(result: dict[str, Any]) -> Iterator[str]:
    """The table of docs/embed.md."""
    columns = [(name, precision) for name, one in result["bundles"].items() for precision in one]
    yield f"| {result['callers']} callers | {' | '.join(f'{name}, {precision}' for name, precision in columns)} |"
    yield "|---|" + "---|" * len(columns)
    for setting in SETTINGS:
        found = [result["bundles"][name][precision][setting] for name, precision in columns]
        cells = [f"{one['calls_a_second']:.1f}, {one['gain']:.2f} times" for one in found]
        yield f"| {setting} | {' | '.join(cells)} |"
    frames, height, width = result["frames"]
    yield ""
    cpu, cores = result["machine"]["cpu"], result["machine"]["cores"]
    yield f"Calls a second, each a clip of {frames} frames of {width} x {height}, prepared and computed, and how many"
    yield f"times those in turns; medians of {result['rounds']} rounds on {cpu}, {cores} cores."


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--library", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--seconds", type=float, default=6.0, show_default=True, help="Each setting of each round.")
@click.option("--rounds", type=int, default=5, show_default=True)
def main(bundle: Path, library: Path, seconds: float, rounds: int) -> None:
    """Measure BUNDLE."""
    loaded = Library(str(library.resolve()))
    precisions = ["fp32", *(["int8"] if (bundle / "int8" / "recognizer.onnx").exists() else [])]
    found = {precision: measured(loaded, bundle, precision, seconds, rounds) for precision in precisions}
    before = json.loads(RESULT.read_text())["bundles"] if RESULT.exists() else {}
    result = {
        "machine": machine(),
        "callers": CALLERS,
        "frames": [FRAMES, HEIGHT, WIDTH],
        "rounds": rounds,
        "bundles": {**before, bundle.name: found},
    }
    write_json(RESULT, result)
    write_table("embed.md", __file__, rows(result))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
