"""The GPU's state, a budget of seconds, and where results go. PyTorch and the standard library alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a host without internet has no installed x3ddeploy

from x3ddeploy.timing.measure import Measurement, statistics  # noqa: E402 (found through the line above)

_STATE = ("name", "driver_version", "clocks.sm", "clocks.mem", "power.draw", "temperature.gpu")
# Names that not every driver knows: nvidia-smi refuses a query that holds one.
_MORE = ("clocks.max.sm", "clocks.max.mem", "power.limit", "persistence_mode", "mig.mode.current")
_THROTTLING = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")  # the new name, and the old


class Budget:
    """Seconds that a script may take; what no longer fits is left out and named."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        return self._end - time.monotonic()


def gpu_state() -> dict[str, str]:
    """What nvidia-smi tells of the first GPU: name, driver, clocks, power, throttling; empty where there is none."""
    state = _query(_STATE)
    if state:
        state |= _query(_MORE)
        state |= next(filter(None, (_query((name,)) for name in _THROTTLING)), {})
    return state


def _query(fields: tuple[str, ...]) -> dict[str, str]:
    try:
        reply = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader", "--id=0"],  # noqa: S607 (PATH)
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(fields, (value.strip() for value in reply.stdout.split(",")), strict=False))


def torch_versions() -> dict[str, Any]:
    """PyTorch and the CUDA libraries that it brings."""
    import torch

    return {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}


def rows_of(measured: Measurement, about: dict[str, dict[str, Any]], divided_by: int = 1) -> list[dict[str, Any]]:
    """A row a competitor: what it is, its statistics, and the raw samples, by the host's clock and by the device's.

    Args:
        measured: samples by competitor.
        about: competitor -> what is known of it.
        divided_by: runs in one sample.
    """
    rows = []
    for name, samples in measured.samples_ms.items():
        if not samples:
            continue
        host, device = (
            [round(sample / divided_by, 6) for sample in given] for given in (samples, measured.device_ms.get(name, []))
        )
        row = {**about[name], **asdict(statistics(host)), "samples_ms": host, "device_samples_ms": device}
        rows.append(row | {"device_median_ms": statistics(device).median_ms if device else None})
    return rows


def first_line(fault: Exception) -> str:
    """The first line of an error's text, for a list of what is absent."""
    return (str(fault).splitlines() or [type(fault).__name__])[0][:200]


def write(directory: Path, device: str, script: str, result: dict[str, Any]) -> Path:
    """Write `<directory>/<gpu>/<script>.json`."""
    folder = directory / re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{script}.json"
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(result, indent=1) + "\n")
    temporary.replace(path)
    return path


def tell(text: str) -> None:
    """A line on stderr, at once."""
    print(text, file=sys.stderr, flush=True)
