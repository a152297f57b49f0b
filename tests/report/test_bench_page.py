"""The pages of a benchmark: what stands in them is what bench.json says, and nothing comes from elsewhere."""

import copy
import html.parser
import itertools
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import msgspec
import numpy as np
import pytest
from support.documents import bench_row

import x3ddeploy.report.page as pages
from x3ddeploy.benchmarking.document import BenchReport
from x3ddeploy.timing.measure import ratio, statistics


def row(name, median_ms, **others):
    samples = (median_ms * (1 + 0.02 * np.random.default_rng(0).standard_normal(30))).tolist()
    described = {"work_of": "onnxruntime/fp32", "floor_ms": {"arithmetic_ms": 50, "memory_ms": 1, "total_ms": 50}}
    return bench_row(name, samples, ratio=vars(ratio(samples, [100.0] * 30)), **{**described, **others})


def made_report():
    """Two forms of a bundle and the baseline, with something for every section."""
    rows = [row("onnxruntime/fp32", 100.0), row("onnxruntime/int8", 80.0, precision="int8")]
    rows.append(row("rgbposeconv3d/torch", 500.0, unlike=["imgs of 8 frames of 224 x 224 against 16 frames"]))
    rows.append(row("onnxruntime/fp32", 210.0, scope="pipeline"))
    headline: dict[str, Any] = {
        "faster": "onnxruntime/fp32",
        "slower": "rgbposeconv3d/torch",
        "network": "RGBPoseConv3D",
    }
    headline |= {"scope": "compute", "times_as_fast": vars(ratio([500.0] * 5, [100.0] * 5)), "unlike": ["clips"]}
    headline |= {"per": "multiply-add", "times_the_work": 7.4}
    blocks = [
        {"stream": stream, "stage": stage, "block": block, "kind": kind, "time_ms": time_ms}
        for stream in ("first", "second")
        for stage, block, kind, time_ms in (
            ("stem", "stem", "stem", 5.0),
            ("layer1", "layer1.0", "depthwise", 4.0),
            ("layer2", "layer2.9", "pointwise", 10.0),
            ("layer2", "layer2.10", "pointwise", 1.0),
            ("conv5", "conv5", "pointwise", 0.0001),
        )
    ]
    part = {"name": "onnxruntime/rgb_backbone", "samples_ms": [50.0] * 5} | vars(statistics([50.0] * 5))
    work: dict[str, Any] = {
        "clips": 1,
        "multiply_adds": 8 * 10**9,
        "traffic_bytes": 4 * 10**9,
        "compulsory_bytes": 3 * 10**7,
    }
    work["by_kind"] = {"pointwise": {"multiply_adds": 8 * 10**9, "traffic_bytes": 4 * 10**9}}
    return {
        "schema_version": 3,
        "x3ddeploy": "0.1.0",
        "measured_at": "2026-01-01T00:00:00Z",
        "bundles": [
            {"name": "", "family": "f", "source": "a<b>.pth", "source_sha256": "0" * 64, "target": "tensorrt"}
            | {"random_calibration": []}
        ],
        "machine": {
            "cpu": "a processor",
            "cores": 2,
            "os": "an OS",
            "python": "3.11",
            "load_average": [0.5, 1.0],
            "cpu_of_others": None,
            "gpu": None,
            "gpu_load": None,
        },
        "versions": {"torch": "2.13"},
        "batch": 1,
        "threads": 2,
        "seconds": 60,
        "scopes": {"compute": "from tensors to outputs", "pipeline": "from a video to scores"},
        "video": "64 frames",
        "rounds": 30,
        "interrupted": False,
        "reference": "onnxruntime/fp32",
        "competitors": rows,
        "headlines": [headline],
        "throughput": [
            {"name": "onnxruntime/fp32", "batch": batch, "scope": "with_copies", "samples_ms": [], "median_ms": 9.0}
            | {"clips_per_s": 10.0 + batch}
            for batch in (1, 2, 4)
        ],
        "parts": [part],
        "ceilings": [{"device": "cpu", "gemm_flops": {"fp32": 3e11, "int8": None}, "copy_bytes_per_s": 2e10}],
        "work": {"onnxruntime/fp32": work},
        "profiles": {"onnxruntime/fp32": blocks},
        "precisions": {"onnxruntime/int8": {"fp32": 58, "int8": 100}},
        "accuracy": {"onnxruntime/fp32": {"top1": 0.9, "videos": 50, "data": "clips"}},
        "absent": [{"name": "tensorrt/fp32", "reason": "no NVIDIA driver", "failed": False}],
    }


@pytest.fixture
def report():
    return made_report()


def render_html(report):
    return pages.render_html(msgspec.convert(report, BenchReport))


def render_markdown(report):
    return pages.render_markdown(msgspec.convert(report, BenchReport))


class Page(html.parser.HTMLParser):
    """Open tags, text, and what is loaded from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.loaded = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href", "srcset", "xlink:href")]
        if tag not in ("meta", "circle", "line", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_loads_nothing(report):
    text = render_html(report)
    page = Page(text)
    assert page.open == []
    assert page.loaded == []
    assert "script" not in page.tags
    assert not re.search(r"@import|url\(|https?://", text)


def test_it_has_light_and_dark_colours_and_a_narrow_form(report):
    text = render_html(report)
    assert "prefers-color-scheme: dark" in text
    assert "max-width: 620px" in text
    assert 'name="viewport"' in text
    used = set(re.findall(r"var\((--(?!tone|blocks)[\w]+)", text))
    light, dark = (set(re.findall(r"(--\w+):", block)) for block in re.findall(r":root \{(.*?)\n *\}", text, re.DOTALL))
    assert used <= light
    assert light == dark


def test_names_from_files_are_text_and_no_markup(report):
    assert "a&lt;b&gt;.pth" in render_html(report)


def test_what_a_scope_is_begins_large_and_stays_as_it_is_written(report):
    report["scopes"]["compute"] = "from tensors to outputs. A GPU does it"
    for page in (render_html(report), render_markdown(report)):
        assert "From tensors to outputs. A GPU does it" in page


def test_every_section_of_a_full_report_is_there(report):
    headings = re.findall(r"<h2>(.*?)</h2>", render_html(report))
    assert headings == [
        "Latency",
        "Throughput over batch",
        "Latency against accuracy",
        "Roofline",
        "Precision",
        "Parts",
        "Where the time goes",
        "Machine and versions",
        "Not measured",
    ]


def test_the_ratio_to_the_baseline_stands_with_its_scope_and_what_is_not_alike(report):
    for text in (render_html(report), render_markdown(report)):
        plain = re.sub(r"<[^>]+>", " ", text)
        assert "5.00" in plain
        assert "scope compute" in plain
        assert "as fast a multiply-add as" in plain
        assert "One of its clips is 7.4 times the work; clips" in plain


def test_other_clips_have_bars_of_their_own_and_a_busy_machine_marks_each_figure(report):
    assert "<mark>busy machine</mark>" not in render_html(report)
    report["machine"]["cpu_of_others"] = 0.4
    page = render_html(report)
    assert page.count("<h3>Scope compute") == 2
    assert "<h3>Scope compute <mark>other clips, busy machine</mark></h3>" in page
    lengths = [float(value) for value in re.findall(r"width:([\d.]+)%", page.partition("other clips")[0])]
    assert max(lengths) == pytest.approx(80, abs=1)  # of the bundle's slowest form, not of the baseline's 500 ms
    assert page.count("busy machine") >= 6
    assert "others took 40% of 2 cores" in page
    assert "(other clips, busy machine)" in render_markdown(report)


def test_drawings_hold_finite_numbers_inside_their_canvas(report):
    drawings = re.findall(r"<svg.*?</svg>", render_html(report), re.DOTALL)
    assert len(drawings) == 3
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        for circle in root.iter("circle"):
            assert 0 <= float(circle.attrib["cx"]) <= 440
            assert 0 <= float(circle.attrib["cy"]) <= 290
    assert "nan" not in "".join(drawings)


def test_an_interrupted_run_without_later_phases_still_gives_a_page(report):
    for key in ("throughput", "parts", "ceilings"):
        report[key] = []
    for key in ("profiles", "work", "precisions", "accuracy"):
        report[key] = {}
    for entry in report["competitors"]:
        entry |= {"work_of": None, "floor_ms": None, "window_cv": None}
    report["interrupted"] = True
    text = render_html(report)
    assert "was interrupted" in text
    assert "x3ddeploy eval BUNDLE" in text
    assert "<svg" not in text
    assert "Roofline" not in render_markdown(report)


def test_a_figure_below_the_floor_an_unstable_one_and_a_busy_machine_are_cautioned_against(report):
    quiet = render_html(report)
    assert "Before quoting a figure" not in quiet
    report["machine"]["load_average"] = [7.0, 6.0]
    report["competitors"][0]["stable"] = False
    report["competitors"][0]["floor_ms"] = {"arithmetic_ms": 200, "memory_ms": 1, "total_ms": 200}
    text = render_html(report)
    assert "The machine was busy (load average 7.0 and 6.0 before and after of 2 cores" in text
    assert "1 of 4 timings were not stable" in text
    assert "too few rounds" not in text
    report["competitors"][0]["window_cv"] = None
    text = render_html(report)
    assert "1 of 4 timings have too few rounds" in text
    assert "were not stable" not in text
    assert "Faster than the ceilings that were measured: onnxruntime/fp32" in text


def test_graphs_in_a_runtime_that_they_are_not_for_are_cautioned_against(report):
    report["bundles"][0]["target"] = "openvino"
    ours = [row["name"] for row in report["competitors"] if row["is_ours"]]
    assert f"Graphs for openvino in another runtime: {', '.join(sorted(set(ours)))}." in render_html(report)
    for row in report["competitors"]:
        row["runtime"] = "openvino"
    assert "in another runtime" not in render_html(report)


def test_a_strip_runs_through_the_network_in_its_order(report):
    strip = render_html(report).partition("onnxruntime/fp32, first:")[2].partition("second:")[0]
    first = list(dict.fromkeys(re.findall(r'title="([\w.]+), all layers: ', strip)))
    assert first == ["stem", "layer1.0", "layer2.9", "layer2.10", "conv5"]


def test_markdown_tables_have_as_many_cells_as_their_headers(report):
    lines = render_markdown(report).splitlines()
    for before, line in itertools.pairwise(lines):
        if before.startswith("|") and line.startswith("|"):
            assert line.count("|") == before.count("|"), line
    assert any(line.startswith("| 3 | rgbposeconv3d/torch\\*") for line in lines)


def test_the_report_that_is_drawn_is_left_as_it_is(report):
    typed = msgspec.convert(report, BenchReport)
    before = copy.deepcopy(typed)
    pages.render_html(typed)
    assert typed == before


def test_what_comes_from_files_is_text_in_both_pages(report):
    evil = "a|b<script>alert(1)</script>[x](http://e)`c`\x1b[31m\n# forged\u202e"
    report["bundles"][0]["source"] = evil
    report["machine"]["cpu"] = evil
    for entry in report["competitors"]:
        entry["unlike"] = [evil]
    report["absent"] = [{"name": evil, "reason": evil, "failed": False}]
    report["headlines"][0]["network"] = evil
    page, text = render_html(report), render_markdown(report)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "<script>" not in text.replace("\\<", "")
    assert "](http" not in text.replace("\\]", "")
    assert "\n# forged" not in text
    assert not set(text) & set("\x1b\u202e")
