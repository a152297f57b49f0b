"""Names of the files in a bundle."""

from __future__ import annotations

from pathlib import PurePosixPath

MANIFEST = "manifest.json"
LABELS = "labels.txt"
GOLDEN = "golden"
PARITY = "parity.json"
BENCH = "bench.json"
BENCH_REPORTS = ("report.html", "report.md")
EVAL = "eval.json"
CALIBRATION = "calib"
ENGINES = "engines"


def graph_name(part: str, precision: str = "fp32") -> str:
    """A part's graph in the bundle."""
    return f"{part}.onnx" if precision == "fp32" else f"{precision}/{part}.onnx"


def golden_folder(precision: str = "fp32") -> str:
    """Where the golden outputs of a precision's graphs lie in a bundle; the inputs are float32's."""
    return GOLDEN if precision == "fp32" else f"{GOLDEN}/{precision}"


def stays_inside(name: str) -> bool:
    """Whether a file's name in a manifest is a path inside the bundle, on every system."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\\" not in name and ":" not in name


def names_a_file(name: str) -> bool:
    """Whether a name of a graph or a tensor can be that of a file, on every system."""
    return stays_inside(name) and "/" not in name
