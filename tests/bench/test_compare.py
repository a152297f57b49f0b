"""`bench --compare`: a regression is told from noise, and unlike things are not compared unasked."""

import copy
import json

import msgspec
import numpy as np
import pytest
from support.documents import of_its_type

from x3ddeploy.atomic import json_bytes
from x3ddeploy.benchmarking import compare
from x3ddeploy.benchmarking.document import Compared
from x3ddeploy.benchmarking.reading import read_report
from x3ddeploy.cli.failures import exit_code_of
from x3ddeploy.cli.main import main
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


def compare_reports(before, after, threshold, **options):
    earlier, later = (msgspec.convert(report, Compared) for report in (before, after))
    return compare.compare_reports(earlier, later, threshold, **options)


@pytest.mark.parametrize(
    ("after", "spread", "verdict"), [(104, 1, "same"), (107, 1, "slower"), (93, 1, "faster"), (107, 25, "same")]
)
def test_only_what_exceeds_the_threshold_and_the_noise_counts(after, spread, verdict):
    comparison = compare_reports(made_report(100, spread), made_report(after, spread * 1.01), threshold=0.05)
    (change,) = comparison.changes
    assert change.verdict == verdict
    assert change.lower <= change.ratio <= change.upper
    of_its_type("bench-compare", json_bytes(comparison).decode())
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
    comparison.raise_for_regressions()
    assert comparison.only_after == ("openvino/fp32 [compute]",)
    assert comparison.machine == {"cpu: fp32 matrix product": 1.0, "cpu: memory copy": 0.5}


@pytest.fixture
def compared(tmp_path, capsys):
    """Runs the command on two reports; gives its exit code and what it said."""

    def run(before, after, *options):
        paths = [tmp_path / "a.json", tmp_path / "b.json"]
        for path, report in zip(paths, (before, after), strict=True):
            path.write_text(json.dumps(report))
        code = exit_code_of(main, ["bench", "--compare", *map(str, paths), *options])
        return code, capsys.readouterr()

    return run


def test_the_command_ends_with_3_on_a_regression_and_prints_json(compared):
    code, told = compared(made_report(100), made_report(120))
    assert code == 3
    assert "slower" in told.out
    assert "1.20 times the time" in told.err
    code, told = compared(made_report(120), made_report(100), "--json")
    assert code == 0
    assert json.loads(told.out)["changes"][0]["verdict"] == "faster"


def with_row(**changes):
    report = made_report()
    report["competitors"][0] |= changes
    return report


def without(key):
    report = made_report()
    del report["competitors"][0][key]
    return report


SAMPLES = made_report()["competitors"][0]["samples_ms"]
BROKEN = {
    "NaN": with_row(samples_ms=[float("nan"), *SAMPLES]),
    "infinity": with_row(samples_ms=[float("inf"), *SAMPLES]),
    "zero": with_row(samples_ms=[0.0] * 40),
    "negative": with_row(samples_ms=[-value for value in SAMPLES]),
    "text": with_row(samples_ms=[str(value) for value in SAMPLES]),
    "true": with_row(samples_ms=[True]),
    "huge": with_row(samples_ms=[1e300]),
    "seconds": without("samples_ms"),
    "nameless": without("name"),
    "no scope": without("scope"),
    "samples of other rows": with_row(median_ms=50.0),
    "seconds in the median": with_row(median_ms=0.1),
    "a median beside that of the samples": with_row(median_ms=float(np.median(SAMPLES)) * (1 + 1.1e-6)),
    "a zero shape": with_row(shapes={"imgs": [1, 3, 0, 1, 1]}),
    "no competitors": made_report() | {"competitors": []},
    "a row twice": made_report() | {"competitors": made_report()["competitors"] * 2},
    "no machine": made_report() | {"machine": None},
    "negative threads": made_report() | {"threads": -1},
    "a ceiling of zero": made_report() | {"ceilings": [{"device": "cpu", "gemm_flops": {}, "copy_bytes_per_s": 0}]},
    "another schema": made_report() | {"schema_version": 4},
    "a schema that is true": made_report() | {"schema_version": True},
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_report_that_is_no_measurement_is_never_green(compared, name, place):
    pair = (BROKEN[name], made_report()) if place == "before" else (made_report(), BROKEN[name])
    for options in ((), ("--unlike",), ("--threshold", "10")):
        code, told = compared(*pair, *options)
        assert code in (1, 2), (name, told.out)
        assert "internal error" not in told.err
        assert told.out == ""


@pytest.mark.parametrize("after", [{"name": "openvino/fp32"}, {"scope": "pipeline"}, {"samples_ms": []}])
def test_what_is_not_measured_any_more_fails(compared, after):
    before = made_report()
    before["competitors"].append(copy.deepcopy(before["competitors"][0]) | {"name": "torch/eager"})
    later = copy.deepcopy(before)
    later["competitors"][1] |= after
    code, told = compared(before, later)
    assert code == 3
    assert "torch/eager [compute]" in told.err
    code, told = compared(before, later, "--unlike")
    assert code == 0
    assert "not compared: torch/eager [compute]" in told.out


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), -0.1])
def test_a_threshold_is_a_number(threshold):
    with pytest.raises(UsageError, match="is none"):
        compare_reports(made_report(), made_report(), threshold)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "NaN", '{"schema_version": 1, "competitors": []}'])
def test_another_file_is_no_report(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(X3DDeployError, match=r"bench\.json|schema 1"):
        read_report(path)
