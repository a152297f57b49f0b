"""A live run on a paced pipe: does `x3ddeploy predict -` hold its window and stride, and how late are its answers?

Frames of a video, over and over, go into the command as raw pictures, each at its time and not sooner. What comes back
is held to what was asked: answers every STRIDE seconds, about WINDOW seconds each, none missing.

    x3ddeploy synth synth --subjects 2 --clips-per-class 2
    python benchmarks/live_pipe.py synth/videos/S001C001P001R001A001.mp4 --bundle deploy --pose pose.onnx \
        --fps 30 --for 120 --seconds 3 1 -o benchmarks/results/live_pipe.json

It ends with exit code 1 where the stride was not held: an answer more than half a stride late, or one that is missing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, pairwise
from pathlib import Path
from statistics import median
from typing import IO, Any

import click
import numpy as np

from x3ddeploy.data.video import count_frames, read_frames
from x3ddeploy.machine import machine


@dataclass(frozen=True)
class Run:
    """What a run gave.

    Attributes:
        asked: window and stride in seconds, frames a second, and how long it was asked to run.
        sent: frames; `sent_late_s` is how far behind its time the last one was: the pipe was full for so long.
        answers: how many; `expected` follows from what was asked, counted from the first answer to the end of frames.
        with_label: answers for which the network was run: somebody was seen, or nobody is looked for.
        stride_s: median, least and most time between answers.
        window_s: median, least and most length of the windows that answers are about.
        latency_s: median, 95th percentile and most.
        dropped_frames: frames that nobody looked at, loading included.
    """

    asked: dict[str, float]
    sent: int
    sent_late_s: float
    answers: int
    expected: int
    with_label: int
    stride_s: list[float]
    window_s: list[float]
    latency_s: list[float]
    dropped_frames: int

    @property
    def held(self) -> bool:
        """Whether no answer is missing, and none came more than half a stride beside its time."""
        stride = self.asked["stride_s"]
        return self.answers >= self.expected and self.stride_s[1] > 0.5 * stride and self.stride_s[2] < 1.5 * stride


def paced(pictures: Sequence[bytes], fps: float, seconds: float, pipe: IO[bytes]) -> tuple[int, float]:
    """Write pictures at their times for so long, and close the pipe; gives how many, and how late the last one was."""
    start, sent, late = time.monotonic(), 0, 0.0
    for picture in cycle(pictures):
        due = start + sent / fps
        if due - start >= seconds:
            break
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            pipe.write(picture)
            pipe.flush()
        except BrokenPipeError:  # the command's own message says why
            break
        late, sent = max(0.0, time.monotonic() - due), sent + 1
    pipe.close()
    return sent, late


def measure(
    pictures: Sequence[np.ndarray[Any, Any]],
    options: Sequence[str],
    *,
    fps: float,
    duration_s: float,
    window_s: float,
    stride_s: float,
) -> Run:
    """Run the command on a paced pipe.

    Args:
        pictures: (H, W, 3), R, G, B.
        options: options of `x3ddeploy predict`, beside those of the pipe.
        fps: frames a second.
        duration_s: how long frames are sent after the first answer; loading is not counted.
        window_s: seconds a window.
        stride_s: seconds from window to window.
    """
    height, width = pictures[0].shape[:2]
    command = [sys.executable, "-m", "x3ddeploy", "predict", "-", "--raw", f"{width}x{height}", "--json"]
    command += ["--seconds", str(window_s), str(stride_s), *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False)
    assert process.stdin
    assert process.stdout
    told: list[tuple[float, dict[str, Any]]] = []

    def listen(lines: Iterator[bytes]) -> None:
        for line in lines:
            told.append((time.monotonic(), json.loads(line)))

    listener = threading.Thread(target=listen, args=(iter(process.stdout),))
    listener.start()
    begun = time.monotonic()
    data = [picture.tobytes() for picture in pictures]
    sent, late = 0, 0.0
    while not told and process.poll() is None:  # it loads
        process.stdin.write(data[sent % len(data)])
        process.stdin.flush()
        sent += 1
        time.sleep(max(0.0, begun + sent / fps - time.monotonic()))
    more, late = paced(data, fps, duration_s, process.stdin)
    ended = time.monotonic()
    listener.join()
    if process.wait():
        raise click.ClickException(f"the command ended with {process.returncode}")
    answers = list({answer["end_s"]: answer for _, answer in reversed(told)}.values())[::-1]  # one of several persons'
    strides = [after - before for before, after in pairwise(answer["end_s"] for answer in answers)]
    late_s = [answer["latency_s"] for answer in answers]
    return Run(
        {"fps": fps, "duration_s": duration_s, "window_s": window_s, "stride_s": stride_s},
        sent + more,
        round(late, 4),
        len(answers),
        int((ended - told[0][0]) / stride_s),
        sum(answer["label"] is not None for answer in answers),
        _spread(strides),
        _spread([answer["end_s"] - answer["start_s"] for answer in answers[1:]]),
        [round(float(value), 4) for value in (median(late_s), np.quantile(late_s, 0.95), max(late_s))],
        answers[-1]["dropped_frames"],
    )


def _spread(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in (median(values), min(values), max(values))]


@click.command()
@click.argument("video", type=click.Path(path_type=Path))
@click.option("--bundle", default="deploy", show_default=True)
@click.option("--pose", help="A pose model, for a network that needs keypoints.")
@click.option("--each-person", is_flag=True)
@click.option("--fps", type=click.FloatRange(min=1), default=30, show_default=True)
@click.option("--for", "duration_s", type=click.FloatRange(min=1), default=120, show_default=True, help="Seconds.")
@click.option("--seconds", nargs=2, type=float, default=(3, 1), show_default=True, metavar="WINDOW STRIDE")
@click.option("-o", "--output", type=click.Path(path_type=Path))
def main(
    video: Path,
    bundle: str,
    pose: str | None,
    each_person: bool,
    fps: float,
    duration_s: float,
    seconds: tuple[float, float],
    output: Path | None,
) -> None:
    """Run, print, and say whether window and stride were held."""
    options = ["--bundle", bundle, *(["--pose", pose] if pose else []), *(["--each-person"] if each_person else [])]
    pictures = list(read_frames(video, range(count_frames(video))))
    run = measure(pictures, options, fps=fps, duration_s=duration_s, window_s=seconds[0], stride_s=seconds[1])
    told = {**asdict(run), "held": run.held}
    click.echo(json.dumps(told, indent=2))
    if output:
        output.write_text(json.dumps({**told, "machine": machine()}, indent=2) + "\n")
    if not run.held:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
