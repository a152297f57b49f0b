"""Whatever a checkpoint or its config holds, reading it gives a result or one CheckpointError, and soon."""

from __future__ import annotations

import copy
import io
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.checkpoint_files import CONFIG, save_pickle, tiny_weights

from x3ddeploy.checkpoint import CHECKPOINT_CONFIG, Unreadable, read_config_text
from x3ddeploy.checkpoint.containers import find_weights
from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.two_stream_x3d.checkpoint import resolve_spec
from x3ddeploy.loading import recognize

# Derandomized: a run finds what the run before found. A failure is kept as an @example.
_OPTIONS: dict[str, Any] = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
WEIGHTS = tiny_weights()
READ = read_config_text(CONFIG, CHECKPOINT_CONFIG)

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8)
)
literals = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=6), st.integers(0, 9)), inner, max_size=4),
    ),
    max_leaves=12,
)


def _readable(value: Any) -> bool:
    """Numbers of 64 bits and no booleans as keys: what the reader takes."""
    if isinstance(value, dict):
        return all(_readable(key) and _readable(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_readable, value))
    return type(value) is not int or abs(value) < 1 << 63


@settings(max_examples=150, **_OPTIONS)
@given(literals.filter(_readable))
def test_any_literal_reads_as_python_writes_it(value: object) -> None:
    assert read_config_text(f"x = {value!r}", "the config")["x"] == value


words = st.sampled_from(
    [
        "x", "y", "dict", "_base_", "model", "=", "(", ")", "[", "]", "{", "}", ",", ":", "**", "*", "-", "+", "/",
        "lambda", "with", "read_base", "del", "for", "in", "import", "1", "0", "1e999", "1j", "'a'", "b'b'", "f'{x}'",
        "None", "True", "//", "...", "\n", "\n    ", "\\", "#", "\x00", "\ud800", "'''", "def f():", "class A:", ";",
        ":=", "@", "async",
    ]
)  # fmt: skip


@settings(max_examples=250, **_OPTIONS)
@given(
    st.one_of(
        st.text(max_size=80), st.lists(words, max_size=16).map(" ".join), st.lists(words, max_size=16).map("".join)
    )
)
@example("x = " + "(" * 300)
@example("x = " + "-" * 5000 + "1")
@example("x = " + "+".join(["1"] * 3000))
@example("\ud800")
@example("x = '\\ud800'")
@example("if True:\n" * 1 + "    del x\nx = 1")
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        config = read_config_text(text, "the config")
    except CheckpointError:
        return
    assert all(isinstance(name, str) for name in config)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    )
    return [path, *(deeper for key, item in children for deeper in _paths(item, (*path, key)))]


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, tuple):
        return tuple(_replaced(item, path[1:], new) if index == path[0] else item for index, item in enumerate(value))
    value[path[0]] = _replaced(value[path[0]], path[1:], new)
    return value


values = st.one_of(literals, st.just(Unreadable(1, "compute()")))


@settings(max_examples=200, **_OPTIONS)
@given(st.lists(st.tuples(st.sampled_from(_paths(READ)[1:]), values), min_size=1, max_size=3))
@example([(("model", "rgb_backbone", "num_stages"), 10**30)])
@example([(("model", "pose_backbone", "stage_blocks"), (10**9, 2))])
@example([(("clip_len",), {"RGB": float("inf")})])
def test_any_value_anywhere_in_a_config_gives_a_network_or_one_error(edits: list[tuple[tuple[Any, ...], Any]]) -> None:
    config = copy.deepcopy(READ)
    for path, value in edits:
        try:
            config = _replaced(config, path, value)
        except (KeyError, IndexError, TypeError):  # an edit before it took the place away
            continue
    try:
        spec = resolve_spec(WEIGHTS, config).spec
    except CheckpointError:
        return
    assert spec.rgb_input.height <= 8192


@settings(max_examples=60, **_OPTIONS)
@given(
    st.sampled_from(["rgb_backbone", "pose_backbone", "cls_head", "data_preprocessor"]),
    st.from_regex(r"[a-z]{3,8}_[a-z]{3,8}_[0-9]", fullmatch=True),
    literals,
)
def test_a_key_of_no_class_is_always_refused_by_its_name(place: str, key: str, value: object) -> None:
    config = copy.deepcopy(READ)
    config["model"][place][key] = value
    with pytest.raises(CheckpointError) as caught:
        resolve_spec(WEIGHTS, config)
    assert f"model.{place}.{key}" in str(caught.value)


tensors = st.sampled_from([torch.ones(2), torch.zeros(()), torch.ones(1, dtype=torch.int8)])
contents = st.recursive(
    st.one_of(scalars, tensors),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(
                    [
                        "state_dict",
                        "model",
                        "ema_state_dict",
                        "meta",
                        "steps",
                        "module.a",
                        "a",
                        "ema_a",
                        "rgb_backbone.a",
                    ]
                ),
                scalars,
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=10,
)


@settings(max_examples=200, **_OPTIONS)
@given(contents, st.booleans())
@example({"module.a": torch.ones(1), "a": torch.ones(1)}, False)
@example({"ema_state_dict": {"module.steps": 1}}, True)
def test_any_content_has_weights_or_one_error(content: object, ema: bool) -> None:
    try:
        found = find_weights(content, "c.pth", ema=ema)
    except CheckpointError:
        return
    assert all(isinstance(key, str) for key in found.weights)


opcodes = st.lists(
    st.one_of(
        st.sampled_from([bytes([code]) for code in b"().0125NQR]abdegijlopqrstu}"]),
        st.sampled_from(
            [b"\x80\x02", b"cos\nsystem\n", b"ccollections\nOrderedDict\n", b"cbuiltins\ngetattr\n", b"K\x01", b"h\x00",
             b"X\x01\x00\x00\x00a", b"X\xff\xff\xff\xffa", b"\x8a\xff", b"\x8b\xff\xff\xff\x7f", b"\x93", b"\x94",
             b"\x81", b"ctorch._utils\n_rebuild_tensor_v2\n", b"r\xff\xff\xff\xff", b"I1" + b"0" * 50 + b"\n"]
        ),
        st.binary(max_size=6),
    ),
    max_size=24,
).map(b"".join)  # fmt: skip


@settings(max_examples=200, **_OPTIONS)
@given(opcodes)
@example(b"\x80\x02" + b"(" * 5000 + b".")
@example(b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".")
def test_any_pickle_in_an_archive_is_one_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = save_pickle(Path(folder) / "c.pth", data)
        _is_refused(path)


def _whole(zipped: bool) -> bytes:
    buffer = io.BytesIO()
    content = {"state_dict": {"rgb_backbone.a": torch.ones(2)}, "meta": {"cfg": "x = 1", "epoch": 3}}
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


WHOLE = {zipped: _whole(zipped) for zipped in (True, False)}


@settings(max_examples=200, **_OPTIONS)
@given(
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damaged_files_are_one_error(zipped: bool, changes: list[tuple[float, int]], kept: float) -> None:
    data = bytearray(WHOLE[zipped])
    for place, byte in changes:
        data[int(place * len(data))] = byte
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.pth"
        path.write_bytes(data[: int(kept * len(data))])
        _is_refused(path)


def _is_refused(path: Path) -> None:
    """Whole or not, the file is of no two-stream network."""
    with pytest.raises(CheckpointError):
        recognize(path)
