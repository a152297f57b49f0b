"""Whatever stands in a recipe, a bench.json, an eval.json or an ONNX file: it is read, or it is one error of ours."""

import copy
import json
import math
import os
from typing import cast

import msgspec
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.documents import eval_json

from x3ddeploy.atomic import json_bytes
from x3ddeploy.benchmarking.accuracy import known_accuracy
from x3ddeploy.benchmarking.compare import compare_reports
from x3ddeploy.benchmarking.document import Compared
from x3ddeploy.benchmarking.reading import read_report
from x3ddeploy.bundle import Bundle
from x3ddeploy.calibration.recipe import Recipe, read_recipe
from x3ddeploy.checkpoint.reader import read_checkpoint
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.families.two_stream_x3d.checkpoint.resolve import read_override
from x3ddeploy.inspection.inspect import inspect
from x3ddeploy.loading import read_labels

LIMITS = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1e308, 5e-324, 10**30, -(10**30), 2**63, 2**64, True]),
)
SCALARS = st.one_of(
    NUMBERS, st.none(), st.text(max_size=8), st.sampled_from(["../x", "\x1b[31m", "\u202e", "\udcff", ""])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def changed(data, document):
    """`document` with one value in it replaced, removed or put in twice."""
    document = copy.deepcopy(document)
    place, parents = document, []
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        parents.append((place, key))
        place = place[key]
        if data.draw(st.integers(0, 3)) == 0:
            break
    parent, key = parents[-1]
    how = data.draw(st.sampled_from(["replace", "replace", "replace", "remove", "twice"]))
    if how == "replace":
        parent[key] = data.draw(VALUES)
    elif how == "remove":
        del parent[key]
    elif isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
    return document


def report(median_ms=100.0):
    samples = [median_ms + step for step in (-1.0, 0.0, 1.0)]
    row = {"name": "onnxruntime/fp32", "scope": "compute", "precision": "fp32", "batch": 1}
    row |= {"shapes": {"imgs": [1, 3, 16, 224, 224]}, "samples_ms": samples, "median_ms": median_ms}
    return {
        "schema_version": 2,
        "machine": {"cpu": "a processor", "gpu": {"name": "a GPU"}},
        "threads": 2,
        "ceilings": [{"device": "cpu", "gemm_flops": {"fp32": 1e11, "int8": None}, "copy_bytes_per_s": 1e10}],
        "competitors": [row, row | {"name": "openvino/fp32"}],
    }


@LIMITS
@given(st.data())
def test_a_bench_json_with_anything_in_it_never_hides_what_became_slower(tmp_path, data):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(changed(data, report(150.0))), encoding="utf-8")
    try:
        comparison = compare_reports(msgspec.convert(report(100.0), Compared), read_report(path), 0.05)
        comparison.raise_for_regressions()
    except X3DDeployError:
        return
    pytest.fail("a report of half the speed passed")


@LIMITS
@given(st.data())
def test_an_eval_json_with_anything_in_it_gives_accuracies_or_nothing(tmp_path, data):
    class Opened:
        path = tmp_path

        class manifest:
            class source:
                sha256 = "a" * 64

    document = changed(data, eval_json("a" * 64, "fused", torch=0.5))
    (tmp_path / "eval.json").write_text(json.dumps(document), encoding="utf-8")
    for entry in known_accuracy(cast(Bundle, Opened))[0].values():
        assert 0 <= entry.top1 <= 1
        assert entry.videos >= 1


def toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    return "''" if value is None else repr(value)


@LIMITS
@given(st.dictionaries(st.sampled_from([*Recipe.__struct_fields__, "x"]), VALUES, max_size=4), st.binary(max_size=3))
def test_a_recipe_with_anything_in_it_is_within_its_bounds_or_refused(tmp_path, values, rubbish):
    path = tmp_path / "recipe.toml"
    text = "".join(f"{name} = {toml(value)}\n" for name, value in values.items())
    path.write_bytes(text.encode("utf-8", "surrogatepass") + rubbish)
    try:
        recipe = read_recipe(path)
    except X3DDeployError:
        return
    assert 1 <= recipe.clips <= 10**7
    assert 0 <= recipe.eval_clips <= 10**7
    assert 0 <= recipe.seed < 2**32
    assert 0 <= recipe.max_drop <= 100


HEADER = {"opset_imports": [helper.make_opsetid("", 17)], "ir_version": 8}


def small_graph():
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 1, 1], [1.0])
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, 2, 2]) for name in ("clips", "y")]
    node = helper.make_node("Conv", ["clips", "w"], ["y"], name="conv")
    graph = helper.make_graph([node], "g", value[:1], value[1:], [weight])
    return helper.make_model(graph, **HEADER).SerializeToString()


GRAPH = small_graph()


@LIMITS
@given(st.data())
def test_an_onnx_file_with_anything_in_it_is_described_or_refused(tmp_path, data):
    content = bytearray(GRAPH)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        how = data.draw(st.sampled_from(["set", "cut", "insert"]))
        if how == "set":
            content[place] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del content[place : place + data.draw(st.integers(1, 9))]
        else:
            content[place:place] = data.draw(st.binary(min_size=1, max_size=9))
        if not content:
            break
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    try:
        found = inspect(path)
    except X3DDeployError:
        return
    assert json.loads(json_bytes(found))["kind"] == "onnx"


def test_external_data_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(b"\0\0\x80?")
    model = onnx.load_from_string(GRAPH)
    (weight,) = model.graph.initializer
    for place in ("../secret", "/etc/passwd", str(tmp_path / "secret")):
        weight.ClearField("float_data")
        weight.raw_data = b""
        onnx.external_data_helper.set_external_data(weight, place)
        (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(X3DDeployError, match="in other files, which are not read"):
            inspect(tmp_path / "a.onnx")


def test_a_name_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_bytes(GRAPH.replace(b"clips", b"\x80lips"))
    with pytest.raises(X3DDeployError, match="not UTF-8 text"):
        inspect(tmp_path / "a.onnx")


READERS = {
    "recipe": read_recipe,
    "bench.json": read_report,
    "labels": lambda path: read_labels(path, 2),
    "config": lambda path: read_override(str(path)),
    "inspect": inspect,
    "checkpoint": read_checkpoint,
}


@pytest.mark.parametrize("reader", READERS)
def test_what_never_ends_and_what_blocks_is_one_error(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros.onnx").symlink_to("/dev/zero")
    with (tmp_path / "sparse.onnx").open("wb") as file:
        file.truncate(1 << 40)  # a tebibyte that takes no room
    for name in ("pipe", "zeros.onnx", "sparse.onnx", "missing.onnx"):
        with pytest.raises(X3DDeployError) as error:
            READERS[reader](tmp_path / name)
        assert name in str(error.value)


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\x85b", "a\u2028b", "a\u202eb", "a\rb"])
def test_a_label_with_control_characters_is_refused(tmp_path, name):
    (tmp_path / "labels.txt").write_bytes(f"{name}\nb\n".encode())
    with pytest.raises(X3DDeployError, match="no class name"):
        read_labels(tmp_path / "labels.txt", 2)
    (tmp_path / "labels.txt").write_bytes("dr\u00fccken\r\nb\r\n".encode())
    assert read_labels(tmp_path / "labels.txt", 2) == ("dr\u00fccken", "b")
