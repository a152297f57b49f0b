"""`bench --compare`: a regression is told from noise, and unlike things are not compared unasked."""

import copy
import json

import numpy as np
import pytest

from x3ddeploy.bench.compare import compare_reports, read_report
from x3ddeploy.errors import GateError, UsageError, X3DDeployError


def made_report(median_ms=100.0, spread_ms=1.0, **row):
    samples = (median_ms + spread_ms * np.random.default_rng(0).standard_normal(40)).tolist()
    described = {"name": "onnxruntime/fp32", "scope": "compute", "precision": "fp32", "batch": 1}
    described |= {"shapes": {"imgs": [1, 3, 16, 224, 224]}, "samples_ms": samples, **row}
    return {
        "schema_version": 2,
        "machine": {"cpu": "a processor", "gpu": None},
        "threads": 2,
        "ceilings": [{"device": "cpu", "gemm_flops": {"fp32": 1e11, "int8": None}, "copy_bytes_per_s": 1e10}],
        "competitors": [described],
    }


@pytest.mark.parametrize(
    ("after", "spread", "verdict"), [(104, 1, "same"), (107, 1, "slower"), (93, 1, "faster"), (107, 60, "same")]
)
def test_only_what_exceeds_the_threshold_and_the_noise_counts(after, spread, verdict):
    comparison = compare_reports(made_report(100, spread), made_report(after, spread * 1.01), threshold=0.05)
    (change,) = comparison.changes
    assert change.verdict == verdict
    assert change.lower <= change.ratio <= change.upper
    assert change.after_ms / change.before_ms == pytest.approx(change.ratio)


def test_a_regression_is_a_gate_that_names_the_competitor():
    comparison = compare_reports(made_report(100), made_report(150), threshold=0.05)
    with pytest.raises(GateError, match=r"onnxruntime/fp32 \[compute\]: 1.50 times"):
        comparison.raise_for_regressions()
    compare_reports(made_report(100), made_report(150), threshold=0.6).raise_for_regressions()


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"shapes": {"imgs": [1, 3, 8, 224, 224]}}, "imgs of 16 frames of 224 x 224 against 8 frames"),
        ({"precision": "int8"}, "precision fp32 against int8"),
        ({"batch": 4}, "batch 1 against 4"),
    ],
    ids=["frames", "precision", "batch"],
)
def test_unlike_things_are_refused_unless_asked_for_and_then_labelled(row, told):
    with pytest.raises(UsageError, match=told):
        compare_reports(made_report(), made_report(**row), threshold=0.05)
    (change,) = compare_reports(made_report(), made_report(**row), 0.05, unlike=True).changes
    assert any(told in line for line in change.unlike)


def test_another_processor_is_unlike():
    other = made_report()
    other["machine"]["cpu"] = "another"
    with pytest.raises(UsageError, match="processor: a processor against another"):
        compare_reports(made_report(), other, threshold=0.05)


def test_what_only_one_holds_and_what_the_machine_gained_are_told():
    before, after = made_report(), made_report()
    after["competitors"].append(copy.deepcopy(after["competitors"][0]) | {"name": "openvino/fp32"})
    after["ceilings"][0]["copy_bytes_per_s"] = 5e9
    comparison = compare_reports(before, after, threshold=0.05)
    assert comparison.only_after == ("openvino/fp32 [compute]",)
    assert comparison.machine == {"cpu: fp32 matrix product": 1.0, "cpu: memory copy": 0.5}


def test_the_command_ends_with_3_on_a_regression_and_prints_json(run, tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, median in zip(paths, (100, 120), strict=True):
        path.write_text(json.dumps(made_report(median)))
    process = run("bench", "--compare", *paths)
    assert process.returncode == 3
    assert "slower" in process.stdout
    assert "1.20 times the time" in process.stderr
    process = run("bench", "--compare", *reversed(paths), "--json")
    assert process.returncode == 0
    assert json.loads(process.stdout)["changes"][0]["verdict"] == "faster"


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 1, "competitors": []}'])
def test_another_file_is_no_report(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(X3DDeployError, match=r"bench\.json|schema 1"):
        read_report(path)
