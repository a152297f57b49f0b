"""Configs must read as their author wrote them, and a hostile one must neither run nor hang."""

from __future__ import annotations

from pathlib import Path

import pytest

from x3ddeploy.checkpoint import Unreadable, read_config_file, read_config_text
from x3ddeploy.checkpoint.pipeline import Pipeline, find_pipeline
from x3ddeploy.errors import CheckpointError


def _read(text: str) -> dict:
    return read_config_text(text, "the config")


def test_literals_read_as_python_reads_them() -> None:
    text = """
'''A docstring.'''
base = 24
rate = 1 / 16
a = dict(x=-1, y=[1, 2.5, 'text' 'joined'], z=(None, True, False), **dict(w={'k-1': +3}))
b = c = {**a, 'base': base, 'n': 3 * base - 4 // 3 + 1}
typed: int = 5
name = 'a_' + 'name.py'
steps = [1] + [dict(x=2)] + [a]
pair = (1,) + (2,)
"""
    expected: dict = {}
    exec(text, expected)  # our own text
    names = ("base", "rate", "a", "b", "c", "typed", "name", "steps", "pair")
    assert _read(text) == {name: expected[name] for name in names}


def test_what_a_key_is_given_later_is_seen_by_all_names_of_its_dict() -> None:
    text = """
model = dict(backbone=dict(depth=50, stages=[1, 2]), head=dict(n=3))
same = model['backbone']
holder = [dict(model=model), (same, 1)]
flat = same.copy()
same['depth'] = flat['n'] = 101
model['backbone']['stages'][-1] = model['head']['n']
model.update({'test-cfg': None}, head=dict(n=5))
same['list'] = same['stages'].copy()
same['stages'][0] = 7
sizes = len(same['stages'])
"""
    expected: dict = {}
    exec(text, expected)  # our own text
    config = _read(text)
    assert isinstance(config.pop("sizes"), Unreadable)  # a call; but it leaves what it counts as it is
    assert config == {name: expected[name] for name in ("model", "same", "holder", "flat")}


@pytest.mark.parametrize(
    "value",
    [
        "__import__('os').system('true')",
        "open('/tmp/x', 'w')",
        "f'{1}'",
        "10 ** 10 ** 10",
        "'a' * 10",
        "[1] * 3",
        "[1] + (2,)",
        "'a' + 1",
        "True + 1",
        "1 / 0",
        "9" * 4000,
        "0x" + "f" * 100_000,
        "9223372036854775807 * 3 * 3",
        "[*range(3)]",
        "(lambda: 1)()",
        "[x for x in (1,)]",
        "dict([('a', 1)])",
        "{1.5: 2}",
        "{1, 2}",
        "...",
        "b'bytes'",
        "1j",
        "missing",
        "other.attribute",
        "{**missing}",
        "-'a'",
        "1 if True else 2",
    ],
)
def test_what_is_no_literal_is_marked_with_its_line(value: str) -> None:
    config = _read(f"before = 1\nodd = {value}\nafter = 2")
    assert isinstance(config["odd"], Unreadable)
    assert config["odd"].source_line == 2
    assert len(config["odd"].text) <= 80
    assert (config["before"], config["after"]) == (1, 2)


def test_marker_stays_inside_the_dict_that_holds_it() -> None:
    config = _read("a = dict(good=1, bad=f(), nested=[f()])")
    assert config["a"]["good"] == 1
    assert isinstance(config["a"]["bad"], Unreadable)
    assert isinstance(config["a"]["nested"][0], Unreadable)


@pytest.mark.parametrize(
    "statement",
    ["a[b()] = 2", "a.update(b)", "a += 1", "a['x'], b = 2, 3", "a['x'] = a", "c = a.pop('x')", "a.pop('x')", "del a",
     "c = [b(a)]", "c = dict(d=a)\nf(c)", "c = [i.pop() for i in (a,)]", "c = dict(a=[a])\nc['d'] = a['e'] = c",
     "a.x = 1", "for i in b: a[i] = 2", "if b: a = 2", "def f(): a.clear()", "(a, b) = 1, 2",
     "with b: a = 3", "import a"],
)  # fmt: skip
def test_names_that_code_may_have_changed_are_not_believed(statement: str) -> None:
    config = _read(f"a = dict(x=1)\nb = 1\nkept = 1\n{statement}")
    assert isinstance(config["a"], Unreadable)
    assert config["kept"] == 1


def test_other_names_of_what_code_may_have_changed_are_not_believed() -> None:
    config = _read("steps = [1]\nloader = dict(pipeline=steps)\nother = dict(pipeline=[1])\nsteps.append(2)")
    assert isinstance(config["loader"], Unreadable)
    assert config["other"] == {"pipeline": [1]}


def test_the_pipeline_of_data_sets_that_are_tested_as_one_is_theirs() -> None:
    def joined(*lengths: int) -> dict:
        datasets = [{"pipeline": [{"type": "SampleFrames", "clip_len": length}]} for length in lengths]
        left_behind = [{"type": "SampleFrames", "clip_len": 9}]
        return {"test_pipeline": left_behind, "test_dataloader": {"dataset": {"datasets": datasets}}}

    found = find_pipeline(joined(8, 8))
    assert isinstance(found, Pipeline)
    assert found.steps[0]["clip_len"] == 8
    with pytest.raises(CheckpointError, match="pipelines differ"):
        find_pipeline(joined(8, 7))


def test_renamed_dict_is_not_believed() -> None:
    assert isinstance(_read("dict = print\na = dict(x=1)")["a"], Unreadable)


def test_code_in_a_config_never_runs(tmp_path: Path) -> None:
    sentinel = tmp_path / "executed"
    write = f"open({str(sentinel)!r}, 'w')"
    _read(f"a = {write}\n{write}\nclass A:\n  x = {write}\nb: {write} = 1\nassert {write}")
    _read(f"@{write}\ndef f(x={write}): pass\nc = dict(d=[{write}], **{write})\nimport this")
    assert not sentinel.exists()


def test_syntax_error_names_the_line() -> None:
    with pytest.raises(CheckpointError, match="line 2") as caught:
        _read("a = 1\nb = = 2\n")
    assert caught.value.details == ("b = = 2",)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "(" * 5000 + ")" * 5000,
        "a = " + "[" * 80 + "]" * 80,
        "a = " + "-" * 50_000 + "1",
        "a = " + "1+" * 50_000 + "1",
        "a = 'x'\n" + "a = a + a\n" * 40,
        "a = [0]\n" + "a = a + a\n" * 40,
        "a = '" + "x" * (1 << 20) + "'",
        "a = 1\0",
        "a = dict(" + ", ".join(f"k{i}=0" for i in range(9000)) + ")\n" + "b = [" + "{**a}," * 9000 + "]",
        "a = [0]\n" + "a = [a]\n" * 2000,
        "a = [0]\nb = {}\n" + "b['x'] = a\na = [b.copy()]\n" * 200,
        "a = [" + "0," * 5000 + "]\nb = {}\n" + "b[0] = a\n" * 500,
        "with read_base():\n    from .base import *",
        "_base_ = './other.py'",
    ],
)
def test_hostile_or_unsupported_text_is_refused_quickly(text: str) -> None:
    with pytest.raises(CheckpointError):
        _read(text)


def test_references_do_not_multiply_memory() -> None:
    lines = ["a0 = [0] "] + [f"a{i} = [{', '.join([f'a{i - 1}'] * 10)}]" for i in range(1, 60)]
    assert len(_read("\n".join(lines))["a59"]) == 10


def test_bases_merge_as_in_mmengine(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "root.py").write_text("model = dict(a=dict(x=1, y=2), b=dict(z=3), keep=1)\nl = [1, 2]\n")
    (tmp_path / "runtime.py").write_text("seed = 4\n")
    (tmp_path / "middle.py").write_text("_base_ = ['root.py', './runtime.py']\nmodel = dict(a=dict(y=5))\n")
    child = tmp_path / "sub" / "child.py"
    child.write_text("_base_ = '../middle.py'\nmodel = dict(b=dict(_delete_=True, w=6), new=dict(q=7))\nl = [3]\n")
    assert read_config_file(child) == {
        "model": {"a": {"x": 1, "y": 5}, "b": {"w": 6}, "keep": 1, "new": {"q": 7}},
        "l": [3],
        "seed": 4,
    }


def test_merge_agrees_with_mmengine(tmp_path: Path) -> None:
    config = pytest.importorskip("mmengine.config")
    (tmp_path / "root.py").write_text("a = dict(b=dict(c=1, d=[1]), e=2)\nf = dict(g=1)\n")
    (tmp_path / "child.py").write_text("_base_ = 'root.py'\na = dict(b=dict(_delete_=True, h=3), e=None)\nf = 5\n")
    theirs = config.Config.fromfile(str(tmp_path / "child.py")).to_dict()
    assert read_config_file(tmp_path / "child.py") == theirs


def test_dumped_mmengine_text_reads_the_same(tmp_path: Path) -> None:
    config = pytest.importorskip("mmengine.config")
    values = {
        "a": {"x-y": [1, (2, -3.5)], "n": None, "f": {"g": True}},
        "s": "it's",
        "big": [{"k": i} for i in range(3)],
    }
    assert _read(config.Config(values).pretty_text) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_base_ = 'absent.py'", "absent.py, a `_base_` of"),
        ("_base_ = 'child.py'", "its own `_base_`"),
        ("_base_ = 'mmaction::_base_/default_runtime.py'", "not a relative path"),
        ("_base_ = '/etc/passwd'", "not a relative path"),
        ("_base_ = ['one.py', 'two.py']", "more than once"),
        ("_base_ = name", "written out"),
        ("_base_ = 'one.py'\nx = dict(y=1)", "_delete_=True"),
        ("_base_ = 'a\\0b'", "cannot be read"),
    ],
)
def test_bases_that_cannot_be_merged_are_explained(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "one.py").write_text("x = 1\n")
    (tmp_path / "two.py").write_text("x = 2\n")
    (tmp_path / "child.py").write_text(text)
    with pytest.raises(CheckpointError) as caught:
        read_config_file(tmp_path / "child.py")
    assert message in str(caught.value)


def test_endless_chain_of_bases_is_refused(tmp_path: Path) -> None:
    for index in range(30):
        (tmp_path / f"c{index}.py").write_text(f"_base_ = 'c{index + 1}.py'")
    with pytest.raises(CheckpointError, match="too many"):
        read_config_file(tmp_path / "c0.py")


def test_merging_a_multiplying_config_is_refused(tmp_path: Path) -> None:
    doubling = "\n".join(["a0 = dict(x=1)"] + [f"a{i} = dict(l=a{i - 1}, r=a{i - 1})" for i in range(1, 50)])
    (tmp_path / "root.py").write_text(doubling)
    (tmp_path / "child.py").write_text("_base_ = 'root.py'\n" + doubling)
    with pytest.raises(CheckpointError, match="than any config"):
        read_config_file(tmp_path / "child.py")


def test_config_that_is_no_text_is_explained(tmp_path: Path) -> None:
    (tmp_path / "c.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="not UTF-8"):
        read_config_file(tmp_path / "c.py")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_config_file(tmp_path)
