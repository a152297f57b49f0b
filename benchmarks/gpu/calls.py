"""The GPU evidence in three calls, each useful alone: what travels, what runs, in how many seconds.

    1  PyTorch alone: networks and shift forms; needs PyTorch and numpy, and nothing but this repository travels
    2  FP16 engines of the bundle, beside the original network and RGBPoseConv3D
    3  INT8 and FP32 engines, the forms of the shift, and what `x3ddeploy build-trt` says itself

    benchmarks/gpu/run.sh --plan [--limit-mb 64] [--transfer-s 10] [--limit-s 600] [--budget-s 1800] [--prepared DIR]
        [--kit DIR]
    benchmarks/gpu/run.sh --call 2 --prepared DIR [--kit DIR] [--limit-s 600]

`--plan` runs nothing, and exits with 3 where something does not fit. A step ends itself within its seconds and is ended
where it does not; it writes each row as it comes, so that whatever ends a call leaves what was measured.
PYTHON is the interpreter with PyTorch (python3), TRT_PYTHON the one with TensorRT (PYTHON, or the kit's).
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SOURCES = ("x3ddeploy", "benchmarks/gpu")
_GRACE_S = 15  # of a step that is asked to end
_SPARE_S = 25  # of a call: starting, and what the last step still writes
_LACKING, _DOES_NOT_FIT = 4, 3


@dataclass(frozen=True)
class Step:
    """One script.

    Attributes:
        words: script and arguments; {prepared} and {kit} stand for folders.
        python: 'torch' or 'tensorrt', whose interpreter runs it; 'bash' for a shell script.
        share: its part of a call's seconds, in proportion to the other steps'.
        least_s: with less it is of no use.
        most_s: with more it does nothing more.
    """

    words: tuple[str, ...]
    python: str
    share: float
    least_s: float
    most_s: float = math.inf


@dataclass(frozen=True)
class Call:
    """Steps one after the other.

    Attributes:
        carried: folders that `prepare.py` wrote, which travel beside this repository.
        optional: folders that travel where they are there; without them some rows are absent.
    """

    title: str
    steps: tuple[Step, ...]
    carried: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def needs_tensorrt(self) -> bool:
        return any(step.python == "tensorrt" for step in self.steps)


_UNPACK = Step(("{kit}/unpack.sh", "{unpacked}"), "bash", 0.15, 30, 120)


def _engines(name: str, networks: str, share: float, *more: str, least_s: float = 120) -> Step:
    words = ("tensorrt_engines.py", "{prepared}", "--networks", networks, "--name", name, *more)
    return Step(words, "tensorrt", share, least_s)


CALLS = (
    Call(
        "PyTorch alone",
        (Step(("torch_networks.py",), "torch", 0.8, 120), Step(("shift_variants.py",), "torch", 0.2, 30, 120)),
    ),
    Call(
        "FP16 engines beside the original and the baseline",
        (
            # Exports of hundreds of megabytes are made where they are needed.
            Step(("prepare.py", "{prepared}", "--only", "plain", "--precision", "fp16"), "torch", 0.1, 20, 60),
            _engines(
                "tensorrt_fp16", "fp16,original.fp16,rgbposeconv3d:fp16,rgbposeconv3d.fp16,fp16+raw,fp16@32", 0.75
            ),
        ),
        ("deploy",),
        ("rgbposeconv3d",),
    ),
    Call(
        "INT8, FP32 and the forms of the shift",
        (
            _engines("tensorrt_int8", "int8,rgbposeconv3d:int8,fp32,rgbposeconv3d:fp32,int8@32", 0.6),
            _engines("tensorrt_shift", "", 0.25, "--shift", "{prepared}/shift", least_s=50),
        ),
        ("deploy", "shift"),
        ("rgbposeconv3d",),
    ),
)


def steps_of(call: Call, kit: Path | None) -> tuple[Step, ...]:
    """A call's steps; the first puts TensorRT together where it was packed."""
    return (_UNPACK, *call.steps) if kit and call.needs_tensorrt else call.steps


def seconds_of(steps: Iterable[Step], limit_s: float) -> dict[Step, float]:
    """How long each step may take; what one cannot use, the others get."""
    left, waiting = limit_s - _SPARE_S, list(steps)
    given: dict[Step, float] = {}
    while waiting:
        shares = sum(step.share for step in waiting)
        full = [step for step in waiting if left * step.share / shares >= step.most_s]
        for step in full or waiting:
            given[step] = step.most_s if full else left * step.share / shares
        if not full:
            break
        left -= sum(step.most_s for step in full)
        waiting = [step for step in waiting if step not in full]
    return given


def size_bytes(*paths: Path) -> int:
    """Size of files and folders, generated ones left out."""
    files = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
    return sum(file.stat().st_size for file in files if file.is_file() and "__pycache__" not in file.parts)


def plan(options: argparse.Namespace) -> int:
    """Print what each call carries and takes; gives the exit code."""
    problems: list[str] = []
    transfers, total_s = 0, 0.0
    for number, call in enumerate(CALLS, 1):
        print(f"call {number}: {call.title}")
        carried = {"this repository": size_bytes(*(ROOT / name for name in SOURCES))}
        for name in (*call.carried, *call.optional):
            folder = options.prepared and options.prepared / name
            if folder and folder.exists():
                carried[name] = size_bytes(folder)
            elif name in call.carried:
                problems.append(f"call {number}: {name} is not there: benchmarks/gpu/prepare.py writes it (--prepared)")
        if options.kit and call.needs_tensorrt:
            carried["TensorRT's kit"] = size_bytes(options.kit)
        bytes_ = sum(carried.values())
        needed = math.ceil(bytes_ / (options.limit_mb * 1e6))
        transfers += needed
        parts = ", ".join(f"{name} {value / 1e6:.1f} MB" for name, value in carried.items())
        print(f"  travels: {parts}: {bytes_ / 1e6:.1f} MB, {needed} times at most {options.limit_mb:g} MB")
        seconds = seconds_of(steps_of(call, options.kit), options.limit_s)
        for step, value in seconds.items():
            print(f"  {value:4.0f} s  {' '.join(step.words)}")
            if value < step.least_s:
                problems.append(f"call {number}: {step.words[0]} gets {value:.0f} s, and needs {step.least_s:.0f}")
        total_s += sum(seconds.values()) + _SPARE_S
        print(f"  {sum(seconds.values()) + _SPARE_S:4.0f} s of {options.limit_s:g} s")
    moving_s = transfers * options.transfer_s
    total_s += moving_s
    print(f"in all {len(CALLS)} calls, {transfers} transfers, {total_s:.0f} s")
    if options.budget_s is not None and total_s > options.budget_s:
        fits_s = max(0, options.budget_s - moving_s) / len(CALLS)
        problems.append(f"{total_s:.0f} s, and {options.budget_s:g} s are there: --limit-s {fits_s:.0f} makes them fit")
    for problem in problems:
        print(f"does not fit: {problem}")
    return _DOES_NOT_FIT if problems else 0


def run(number: int, options: argparse.Namespace) -> int:
    """Run the steps of a call; gives the worst exit code. What a step had measured stays, however it ends."""
    call, worst = CALLS[number - 1], 0
    unpacked = options.kit and Path(tempfile.gettempdir()) / "x3ddeploy-tensorrt"
    python = os.environ.get("PYTHON", "python3")
    with_tensorrt = os.environ.get("TRT_PYTHON") or (str(unpacked / "python") if options.kit else python)
    interpreters = {"torch": python, "tensorrt": with_tensorrt, "bash": "bash"}
    places = {"prepared": options.prepared, "kit": options.kit, "unpacked": unpacked}
    for step, seconds in seconds_of(steps_of(call, options.kit), options.limit_s).items():
        script, *arguments = (word.format(**places) for word in step.words)
        command = [interpreters[step.python], str(HERE / script), *arguments]
        if step.python != "bash" and script != "prepare.py":
            command += ["--seconds", f"{seconds:.0f}", "--output", str(options.output)]
            if step.python == "torch":
                command += ["--device", options.device, *(["--smoke"] if options.smoke else [])]
        tell(f"== {script}: {seconds:.0f} s")
        code = _ended(command, seconds)
        if code == _LACKING:
            tell(f"== {script}: this machine lacks what it needs")
        elif code:
            tell(f"== {script} ended with {code}; what it had measured is kept")
        worst = max(worst, code if code in (0, _LACKING) else 1)
    return worst


def _ended(command: list[str], seconds: float) -> int:
    process = subprocess.Popen(command, start_new_session=True)  # so that its children end with it
    try:
        return process.wait(seconds + _GRACE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def tell(text: str) -> None:
    """A line on stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Plan, or run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", action="store_true", help="print what travels and how long it takes; run nothing")
    parser.add_argument(
        "--call", type=int, choices=range(1, len(CALLS) + 1), help="one call; left out, all that can run"
    )
    parser.add_argument("--prepared", type=Path, help="what benchmarks/gpu/prepare.py wrote")
    parser.add_argument(
        "--kit", type=Path, help="what benchmarks/gpu/offline/pack.py wrote: TensorRT for hosts offline"
    )
    parser.add_argument("--output", type=Path, help="results' folder  [default: OUTPUT, or benchmarks/results]")
    parser.add_argument("--limit-mb", type=float, default=64.0, help="that can travel at a time")
    parser.add_argument("--transfer-s", type=float, default=0.0, help="of the budget that one transfer takes")
    parser.add_argument("--limit-s", type=float, default=600.0, help="of one call")
    parser.add_argument("--budget-s", type=float, help="of all calls together")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--smoke", action="store_true", help="a test of the scripts; the figures mean nothing")
    options = parser.parse_args()
    if options.plan:
        return plan(options)
    if options.call and CALLS[options.call - 1].needs_tensorrt and options.prepared is None:
        parser.error(f"call {options.call} needs --prepared DIR, written by benchmarks/gpu/prepare.py")
    if options.output is None:
        results = str(ROOT / "benchmarks" / "results")
        options.output = Path(os.environ.get("OUTPUT") or (tempfile.mkdtemp() if options.smoke else results))
    chosen = [options.call] if options.call else [1] if options.prepared is None else [1, 2, 3]
    worst = max(run(number, options) for number in chosen)
    tell(f"results in {options.output}")
    return worst


if __name__ == "__main__":
    sys.exit(main())
