"""Rows that were written are kept, whatever a run was cut off in; what is not of that run is refused and stays."""

import json
from contextlib import ExitStack

import pytest

from x3ddeploy.errors import DataError, UsageError, X3DDeployError
from x3ddeploy.rows import open_rows, run_of

RUN = run_of({"window": 16})
ITEMS = {"a": [{"value": 1}, {"value": 2}], "b": [{"value": 3}], "c": [{"value": 4}, {"value": 5}, {"value": 6}]}


def schema(arrow):
    return arrow.schema([("schema_version", arrow.int64()), ("name", arrow.string()), ("value", arrow.int64())])


def opened(path, run=RUN):
    """What is there, and what it can be added to."""
    there = {}
    return there, open_rows(path, "name", run, lambda name, rows: there.update({name: rows}), schema)


def write(path, items=ITEMS):
    """Add the items that are not there; gives those that are."""
    there, rows = opened(path)
    with rows:
        for name in items:
            if name not in there:
                rows.add([{"schema_version": 1, "name": name, **row} for row in items[name]])
    return {name: [row["value"] for row in found] for name, found in there.items()}


def values(items=ITEMS):
    return {name: [row["value"] for row in rows] for name, rows in items.items()}


@pytest.mark.parametrize("name", ["rows.jsonl", "new/rows.parquet"])
def test_what_is_written_is_there_in_the_next_run(tmp_path, name):
    assert write(tmp_path / name, {"a": ITEMS["a"]}) == {}
    assert write(tmp_path / name) == values({"a": ITEMS["a"]})
    assert write(tmp_path / name) == values()


def test_a_file_cut_off_anywhere_is_completed(tmp_path):
    """Half a row, or half of an item's rows, do not count as written."""
    path = tmp_path / "rows.jsonl"
    write(path)
    whole = path.read_bytes()
    ends, size = {}, 0
    for line in whole.splitlines(keepends=True):
        size += len(line)
        ends[json.loads(line)["name"]] = size
    for cut in {*range(0, len(whole), 17), *(end + beside for end in ends.values() for beside in (-1, 0)), 1, size - 2}:
        path.write_bytes(whole[:cut])
        assert write(path) == {name: rows for name, rows in values().items() if ends[name] <= cut}
        assert path.read_bytes() == whole


def test_parquet_is_a_row_a_line_with_the_same_columns(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    write(tmp_path / "rows.parquet")
    write(tmp_path / "rows.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert parquet.read_table(tmp_path / "rows.parquet").to_pylist() == lines


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_rows_of_other_settings_are_refused(tmp_path, name):
    write(tmp_path / name)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.*") if file.is_file()}
    with pytest.raises(UsageError, match="other settings"):
        opened(tmp_path / name, run_of({"window": 8}))
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize(
    "content", [b"{}\n", b"precious notes", b'{"name": "a"}\n{"schema', b"\x00\xff\n", b'["run"]\n', b"12"]
)
def test_a_file_that_is_something_else_stays_as_it_is(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"line 1 of .* is no row"):
        opened(path)
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_told_with_its_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[1:]))
    with pytest.raises(DataError, match=r"line 2 .* rows of a are missing"):
        opened(path)
    path.write_bytes(lines[0][:20] + b"\n" + b"".join(lines[1:]))
    with pytest.raises(UsageError, match="line 1"):
        opened(path)
    part = tmp_path / "rows.parquet" / "part-00000.parquet"
    write(part.parent)
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        opened(part.parent)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_two_commands_do_not_write_one_file(tmp_path, name):
    with ExitStack() as stack:
        stack.enter_context(opened(tmp_path / name)[1])
        with pytest.raises(X3DDeployError, match="another command writes"):
            opened(tmp_path / name)
    opened(tmp_path / name)[1].close()


def test_the_name_says_the_form(tmp_path):
    with pytest.raises(UsageError, match=r"\.jsonl or \.parquet"):
        opened(tmp_path / "rows.csv")
    (tmp_path / "file.parquet").touch()
    with pytest.raises(UsageError, match="is a file"):
        opened(tmp_path / "file.parquet")
