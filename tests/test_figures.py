"""Figures in README and docs are those of the committed results, to the digit."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def plain_export_rows():
    """The table rows that benchmarks/results/plain_export.json asks for."""
    result = json.loads((RESULTS / "plain_export.json").read_text())
    names = {"onnxruntime": ("ONNX Runtime", "tensorrt"), "openvino": ("OpenVINO", "openvino")}
    for runtime, speedup in result["speedup_over_plain_export"].items():
        title, target = names[runtime]
        plain = result["rows"][f"{runtime}: plain export"]["median_ms"]
        parts = result["rows"][f"{runtime}: parts for {target}"]["median_ms"]
        version = result["versions"][runtime]
        yield f"| {title} {version} | {plain:.0f} ms | {parts:.0f} ms (`--target {target}`) | {speedup['median']:.2f} |"


def bench_rows():
    """The same for the committed bench.json reports: one column a target's bundle."""
    for target in ("tensorrt", "openvino"):
        report = json.loads((RESULTS / f"bench_{target}.json").read_text())
        for row in report["competitors"]:
            if "_backbone" not in row["name"] and row.get("scope", "compute") == "compute":
                name, median, ratio = row["name"], row["median_ms"], row["ratio"]["median"]
                yield f"| {name} | `{target}` | {row['network']} | {median:.0f} ms | {ratio:.2f} |"


@pytest.mark.parametrize("page", ["README.md", "docs/lowering.md"])
def test_the_plain_export_table_is_the_committed_result(page):
    text = (ROOT / page).read_text()
    assert [row for row in plain_export_rows() if row not in text] == []


def test_the_bench_table_is_the_committed_result():
    text = (ROOT / "README.md").read_text()
    assert [row for row in bench_rows() if row not in text] == []


def test_the_findings_are_the_committed_result():
    result = json.loads((RESULTS / "lowering_findings.json").read_text())
    text = " ".join((ROOT / "docs" / "lowering.md").read_text().split())
    ratios = result["named_frames_axis"]["time_unnamed_over_named"]
    speed = {part: f"{value['median']:.2f} times" for part, value in ratios.items()}
    assert f"the RGB backbone takes {speed['rgb_backbone']} the time" in text
    assert f"and the pose backbone {speed['pose_backbone']}" in text
    errors = result["openvino_relative_error_on_an_impulse"]
    assert f"off by {errors['rgb_backbone, one ReduceMean']:.1e} of their range" in text
    assert f"over T, it is {errors['rgb_backbone, two average poolings']:.1e}" in text
