"""Figures in README and docs are those of the committed results, to the digit."""

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def plain_export_rows():
    """The table rows that benchmarks/results/plain_export.json asks for."""
    result = json.loads((RESULTS / "plain_export.json").read_text())
    titles = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
    for runtime, speedup in result["speedup_over_plain_export"].items():
        plain = result["rows"][f"{runtime}: plain export"]["median_ms"]
        parts = result["rows"][f"{runtime}: parts for it"]["median_ms"]
        title = f"{titles[runtime]} {result['versions'][runtime]}"
        yield f"| {title} | {plain:.0f} ms | {parts:.0f} ms (`--target {runtime}`) | {speedup['median']:.2f} |"
    for runtime, speedup in result.get("speedup_one_clip_fixed", {}).items():
        plain = result["rows"][f"{runtime}: plain export, one clip fixed"]["median_ms"]
        parts = result["rows"][f"{runtime}: parts for it, one clip fixed"]["median_ms"]
        title = f"{titles[runtime]}, shapes fixed"
        yield f"| {title} | {plain:.0f} ms | {parts:.0f} ms (`--target {runtime}`) | {speedup['median']:.2f} |"


def bound_rows():
    """What benchmarks/results/lowering_bounds.json says of every form."""
    result = json.loads((RESULTS / "lowering_bounds.json").read_text())
    titles = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
    for name, row in result["rows"].items():
        runtime, form = name.split(": ", 1)
        speedup = result["speedup_over_plain_export"][name]["median"]
        yield f"| {titles[runtime]} | {form} | {row['median_ms']:.0f} ms | {speedup:.2f} |"


def bench(target):
    """The committed report of the bundle for that target, as rows by competitor in the scope `compute`."""
    report = json.loads((RESULTS / f"bench_{target}.json").read_text())
    return report, {row["name"]: row for row in report["competitors"] if row["scope"] == "compute"}


def bench_rows():
    """Every competitor of both reports."""
    for target in ("onnxruntime", "openvino"):
        _, rows = bench(target)
        for row in rows.values():
            times = f"{row['median_ms']:.0f} ms | {row['ratio']['median']:.2f}"
            yield f"| {row['name']} | `{target}` | {row['network']} | {times} |"


def short_bench_rows():
    """README's choice: ONNX Runtime and PyTorch from the run of its bundle, OpenVINO from that of its own."""
    times = {
        runtime: {name: f"{row['median_ms']:.0f} ms" for name, row in bench(target)[1].items()}
        for runtime, target in (("onnxruntime", "onnxruntime"), ("openvino", "openvino"))
    }
    ort, openvino = times["onnxruntime"], times["openvino"]
    yield f"| this network, lowered for the runtime | {ort['onnxruntime/fp32']} | {openvino['openvino/fp32']} | |"
    yield f"| the same in INT8 | | {openvino['openvino/int8']} | |"
    plain = f"{ort['plain/onnxruntime']} | {openvino['plain/openvino']}"
    yield f"| as trained: plain `torch.onnx.export`, eager | {plain} | {ort['torch/eager']} |"
    theirs = f"{ort['rgbposeconv3d/onnxruntime']} | {openvino['rgbposeconv3d/openvino']}"
    yield f"| RGBPoseConv3D, its own clips | {theirs} | {ort['rgbposeconv3d/torch']} |"


def synth_rows():
    """What configs/synth.py learns, and how much of it needs the frames in order."""
    result = json.loads((RESULTS / "synth_training.json").read_text())
    for title, name in (("as filmed", "top1"), ("frames shuffled", "top1_frames_shuffled")):
        shares = [f"{100 * result[name][key]:.1f} %" for key in ("rgb", "pose", "fused")]
        yield f"| {title} | {' | '.join(shares)} |"


def pose_rows():
    """What estimated keypoints cost, by score and by class where they cost or gain anything."""
    result = json.loads((RESULTS / "pose_cost.json").read_text())
    for group in ("top1", "classes_that_changed"):
        for name, measured in result[group].items():
            shares = [100 * measured[f"{whose}_keypoints"] for whose in ("true", "estimated")]
            yield f"| {name} | {shares[0]:.1f} % | {shares[1]:.1f} % | {shares[1] - shares[0]:+.1f} |"


def method_rows():
    """Top-1 of fully quantized graphs, and the share of clips that keep their class, by calibration method."""
    for target, found in json.loads((RESULTS / "int8_methods.json").read_text())["targets"].items():
        for method, measured in found["methods"].items():
            cells = [f"{a['top1_after']:.1f} %, {a['agreement']:.1%} agree" for a in measured["accuracy"].values()]
            yield f"| `{target}` | {method} | {' | '.join(cells)} |"
        before = [f"{a['top1_before']:.1f} %" for a in measured["accuracy"].values()]
        yield f"| | float32 | {' | '.join(before)} |"


def int8_rows():
    """INT8 over float32 in the same runtime, by part."""
    result = json.loads((RESULTS / "int8_speed.json").read_text())
    for name, speedup in result["speedup_over_fp32"].items():
        runtime, part = name.split()
        times = [f"{result['rows'][f'{name} {precision}']['median_ms']:.0f} ms" for precision in ("fp32", "int8")]
        version = result["versions"][runtime]
        yield f"| {runtime} {version} | {part} | {' | '.join(times)} | {speedup['median']:.2f} |"
    over = {runtime: f"{gain['median']:.2f} times" for runtime, gain in result["speedup_over_plain_export"].items()}
    yield f"INT8 is {over['openvino']} as fast in OpenVINO and {over['onnxruntime']} in ONNX Runtime"


def rounding_rows():
    """How far right runtimes are from what they are held to, in units of the rounding that the gates go by."""
    result = json.loads((RESULTS / "gate_rounding.json").read_text())
    names = {"tiny": "`tiny`", "wide": "wide (384 channels)", "deep": "deep (30 blocks)"}
    for network in dict.fromkeys(row["network"] for row in result["float32"]):
        own = [row for row in result["float32"] if row["network"] == network]
        cells = [f"{max(row['distance'] / row['rounding'] for row in own):.1f}"]
        for precision in ("fp16", "int8"):
            lower = [r for r in result["lower"] if (r["network"], r["precision"]) == (network, precision)]
            measures = [
                max(row["distance"][name] / max(row["rounding"][name], 1e-3 / 2) for row in lower)
                for name in ("relative", "rms", "channels")
            ]
            cells.append(", ".join(f"{ratio:.2f}" for ratio in measures))
        yield f"| {names.get(network, network)} | {' | '.join(cells)} |"


def sizing_rows():
    """Machines for cameras, by the very code that docs/bench.md shows, of the committed reports."""
    (code,) = re.findall(r"^```python\n(.*?)^report = ", (ROOT / "docs" / "bench.md").read_text(), re.M | re.S)
    shown: dict[str, Any] = {}
    exec(code, shown)
    for target, name in (
        ("onnxruntime", "onnxruntime/fp32"),
        ("openvino", "openvino/fp32"),
        ("openvino", "openvino/int8"),
    ):
        report, _ = bench(target)
        rate = shown["clips_per_s"](report, name)
        cameras = max(count for count in range(1, 100) if shown["machines"](report, name, count) == 1)
        machines = shown["machines"](report, name, 100)
        yield f"| {name} | {rate:.1f} | {rate / report['threads']:.1f} | {cameras} | {machines} |"


def rows_of(script, result):
    """What a script of benchmarks/ makes of its result; nothing of one that was not measured yet."""
    if (RESULTS / result).exists():
        sys.path.insert(0, str(ROOT / "benchmarks"))
        try:
            yield from importlib.import_module(script).rows(json.loads((RESULTS / result).read_text()))
        finally:
            sys.path.remove(str(ROOT / "benchmarks"))


def family_rows():
    """Each network that benchmarks/families_table.py measured."""
    return rows_of("families_table", "families.json")


def cpp_rows():
    """The C++ runtime beside Python."""
    return rows_of("cpp_runtime", "cpp_runtime.json")


def caller_rows():
    """Many callers of one C++ recognizer."""
    return rows_of("cpp_callers", "cpp_callers.json")


def verb_rows():
    """How long verbs take as processes of their own."""
    result = json.loads((RESULTS / "verbs.json").read_text())
    seconds, rounds = result["seconds"], result["search_rounds"]
    yield f"| `export`, its parity check included | {seconds['export']:.1f} s |"
    yield f"| `bench --only onnxruntime/fp32 --scope compute --seconds 5` | {seconds['bench']:.1f} s |"
    ((quantize, of_quantize),) = ((name, value) for name, value in seconds.items() if name.startswith("quantize"))
    clips = f"{quantize.split()[1]} clips, its search included ({rounds} rounds of judging)"
    yield f"| `quantize --int8` with {clips} | {of_quantize:.0f} s |"


def way_rows():
    """From a video file to scores, beside its two longest parts; one file, and many."""
    result = json.loads((RESULTS / "way_to_scores.json").read_text())
    for title, name in (
        ("decoding alone", "decoding alone"),
        ("decoding alone, the first frame once", "decoding alone, the first frame once"),
        ("compute alone", "compute"),
        ("one file to scores", "file to scores"),
    ):
        yield f"| {title} | {result['rows'][name]['median_ms']:.0f} ms |"
    videos = result["videos"]
    yield f"one file takes {result['over_the_longer']['median']:.1f} times the longer"
    whole, once = (
        result["rows"][name]["median_ms"] for name in ("file to scores", "decoding alone, the first frame once")
    )
    yield f"{whole / once:.1f} times decoding that is spared"
    yield f"its processor time would take {result['least_over_the_longer']:.1f} times"
    each = f"{1000 * videos['seconds'] / videos['count']:.0f} ms, {videos['busy_share_of_cores']:.0%} of the cores busy"
    yield f"| each of {videos['count']} files | {each} |"


def form_rows():
    """OpenVINO's latency and throughput forms, by precision."""
    times = json.loads((RESULTS / "openvino_forms.json").read_text())["ms_a_clip"]
    for precision in ("fp32", "bf16", "int8"):
        cells = [f"{times[f'{precision} {form}']['median_ms']:.0f} ms" for form in ("latency", "throughput")]
        yield f"| {precision} | {' | '.join(cells)} |"


def small_family_rows():
    """Each small network that benchmarks/families_synth.py trained and judged."""
    return filter(None, rows_of("families_synth", "families_synth.json"))


def synth_eval_rows():
    """Accuracies of the network of configs/synth.py, as `x3ddeploy eval` prints them."""
    report = json.loads((RESULTS / "synth_eval.json").read_text())
    for result in report["results"]:
        if (result["runtime"], result["precision"]) == ("openvino", "fp32"):  # the page shows its first line alone
            continue
        for score, accuracy in result["scores"].items():
            name = f"{score} (deployed)" if score == report["deployed"] else score
            shares = f"{accuracy['top1']:8.2%}  {accuracy['top5']:7.2%}  {accuracy['mean_class']:10.2%}"
            against = (result["against_reference"] or {}).get(score)
            change = (
                f"     +0.00     {against['agreement']:7.2%}  {against['largest_difference']:.1e}" if against else ""
            )
            yield f"{name:20}{shares}{change}".rstrip()


@pytest.mark.parametrize(
    ("page", "rows"),
    [
        ("docs/families.md", family_rows),
        ("docs/families.md", small_family_rows),
        ("docs/embed.md", cpp_rows),
        ("docs/embed.md", caller_rows),
        ("docs/proof.md", rounding_rows),
        ("docs/lowering.md", plain_export_rows),
        ("docs/lowering.md", bound_rows),
        ("docs/bench.md", bench_rows),
        ("docs/quantize.md", int8_rows),
        ("docs/quantize.md", method_rows),
        ("docs/train.md", synth_rows),
        ("docs/bench.md", sizing_rows),
        ("docs/bench.md", verb_rows),
        ("docs/bench.md", way_rows),
        ("docs/bench.md", form_rows),
        ("docs/eval.md", synth_eval_rows),
        ("docs/pose.md", pose_rows),
        ("README.md", short_bench_rows),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_tables_are_the_committed_results(page, rows):
    text = (ROOT / page).read_text()
    assert [row for row in rows() if row not in text] == []


def test_what_zeros_do_to_ranges_is_the_committed_result():
    found = json.loads((RESULTS / "int8_methods.json").read_text())["targets"]
    share = found["tensorrt"]["onnxruntime_entropy_threshold_with_zeros_over_without"]
    text = " ".join((ROOT / "docs" / "quantize.md").read_text().split())
    quartiles = f"quartiles {share['lower_quartile']:.2f} to {share['upper_quartile']:.2f}"
    assert f"to {share['median']:.2f} of what they are without ({quartiles} over its layers)" in text


def test_what_a_file_takes_is_the_committed_result():
    rows = json.loads((RESULTS / "way_to_scores.json").read_text())["rows"]
    longer = max(rows[name]["median_ms"] for name in ("decoding alone", "compute"))
    text = " ".join((ROOT / "docs" / "bench.md").read_text().split())
    assert f"one file takes {rows['file to scores']['median_ms'] / longer:.1f} times the longer of the two" in text


def test_callers_of_a_small_network_are_the_committed_result():
    found = json.loads((RESULTS / "cpp_runtime_small.json").read_text())
    turns, at_once, gain = (found["callers"][key] for key in ("in_turns_a_second", "at_once_a_second", "gain"))
    text = " ".join((ROOT / "docs" / "embed.md").read_text().split())
    assert f"{turns:.0f} calls a second in turns and {at_once:.0f} at once, {gain:.2f} times as many" in text
    assert f"preparing 1080p video takes {100 * found['prepare_to_compute']:.0f} % of the time to compute it" in text


def test_labels_of_two_people_are_the_committed_result():
    found = json.loads((RESULTS / "pose_cost.json").read_text())["together"]
    text = " ".join((ROOT / "docs" / "pose.md").read_text().split())
    assert f"In {found['two_found']} of {found['videos']} such videos just two persons are found" in text
    assert f"{found['right']} of the {found['performers']} performers get their own action" in text


def test_two_minutes_of_live_input_are_the_committed_result():
    found = json.loads((RESULTS / "live_pipe.json").read_text())
    text = " ".join((ROOT / "docs" / "live.md").read_text().split())
    median, _, worst = (1000 * latency for latency in found["latency_s"])
    assert found["held"]
    assert f"{found['answers']} answers came, each a second after the one before, {median:.0f} ms after" in text
    assert f"as the median and {worst:.0f} ms at worst; {found['dropped_frames']} frames were dropped" in text


def test_calibrations_memory_is_the_committed_result():
    result = json.loads((RESULTS / "calibration_memory.json").read_text())
    peak = result["peak_mib_after_clips"]
    text = " ".join((ROOT / "docs" / "quantize.md").read_text().split())
    assert f"{result['estimate_mib']:.0f} MiB" in text
    assert f"took {peak['5']:.0f} MiB more after 5 clips and {peak['200']:.0f} after 200" in text


def test_readmes_ratios_are_the_committed_results():
    text = " ".join((ROOT / "README.md").read_text().split())
    speedups = json.loads((RESULTS / "plain_export.json").read_text())["speedup_over_plain_export"]
    gains = [f"{speedups[runtime]['median']:.2f}" for runtime in ("onnxruntime", "openvino")]
    assert f"{gains[0]} times as fast as the plain export in ONNX Runtime and {gains[1]} times in OpenVINO" in text
    report = bench("openvino")[0]
    (ratio,) = [
        headline["times_as_fast"]["median"] * headline["times_the_work"]  # of a clip
        for headline in report["headlines"]
        if headline["slower"] == "rgbposeconv3d/openvino"
    ]
    work, theirs = (report["work"][name]["multiply_adds"] for name in ("openvino/fp32", "rgbposeconv3d/openvino"))
    assert f"{ratio:.2f} times as long, with {theirs / work:.1f} times the multiply-adds" in text


def test_the_bounds_floor_is_the_committed_result():
    result = json.loads((RESULTS / "lowering_bounds.json").read_text())
    text = " ".join((ROOT / "docs" / "lowering.md").read_text().split())
    floor, neither = result["floor"]["total_ms"], result["rows"]["openvino: bound: neither"]["median_ms"]
    assert f"the floor under the arithmetic and the bytes is {floor:.0f} ms" in text
    assert f"stands at {neither / floor:.1f} times the floor" in text


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
