"""Whatever stands in a manifest or in labels, it is opened or it is one BundleError."""

import contextlib
import copy
import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import schema_1

from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.check import require_whole
from x3ddeploy.bundle.labels import label_problems, read_labels
from x3ddeploy.errors import BundleError

QUICK = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))

HOSTILE: st.SearchStrategy[object] = st.sampled_from(
    [
        *(None, True, "", "NaN", "\0", "a\nb", "\x1b[2J", "\u2028", "../x", "/etc/passwd", "C:\\x", "a/../../b", "."),
        *(-1, 0, 2**31, 2**63, 2**64, 10**400, -(10**400), 1e308, -1e308, 5e-324),
        *([], {}, [[]], {"": {}}, ["N"] * 100, "x" * 10_000),
    ]
)
VALUES = HOSTILE | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
VALUES = VALUES.map(copy.deepcopy)  # what is put into a document may be altered there


@pytest.fixture(scope="module", params=[1, 2])
def good(bundle, request, tmp_path_factory):
    """A good manifest in each schema."""
    path = shutil.copytree(bundle, tmp_path_factory.mktemp("good") / "deploy")
    if request.param == 1:
        schema_1.rewrite(path)
    return json.loads((path / "manifest.json").read_text())


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def places(value, path=()):
    """Every place in a document."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


@st.composite
def altered(draw, good):
    """A good document with one to three places replaced, removed, renamed or doubled."""
    document = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(places(document), key=str)))
        if not path:
            continue
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        what = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if what == "replace":
            parent[path[-1]] = draw(VALUES)
        elif what == "remove":
            del parent[path[-1]]
        elif isinstance(parent, dict):
            parent[draw(st.text() | HOSTILE.filter(lambda value: isinstance(value, str)))] = draw(
                VALUES | st.just(copy.deepcopy(parent[path[-1]]))
            )
        else:
            parent.append(draw(VALUES))
    return document


def opened(folder, content):
    """The bundle, or None where it is refused as it should be."""
    (folder / "manifest.json").write_bytes(content)
    with contextlib.suppress(BundleError):
        return Bundle.open(folder)
    return None


@settings(QUICK, max_examples=250)
@given(data=st.data())
def test_an_altered_manifest_opens_or_is_one_error(good, folder, data):
    content = json.dumps(data.draw(altered(good))).encode("utf-8", "surrogatepass")
    found = opened(folder, content)
    if found is not None:
        assert all((folder / name).resolve().is_relative_to(folder.resolve()) for name in found.manifest.files)
        assert min(found.contract.fusion) >= 0 < sum(found.contract.fusion) < float("inf")


@settings(QUICK, max_examples=150)
@given(data=st.data())
def test_damaged_bytes_open_or_are_one_error(good, folder, data):
    content = bytearray(json.dumps(good).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        content[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=20))
    opened(folder, bytes(content))


@settings(QUICK, max_examples=100)
@given(content=st.binary(max_size=300) | st.integers(1, 200_000).map(lambda depth: b'{"schema_version":' * depth))
def test_any_bytes_are_one_error(folder, content):
    assert opened(folder, content) is None


@settings(QUICK, max_examples=20)
@given(data=st.data())
def test_a_manifest_that_opens_is_held_against_the_files_or_is_one_error(bundle, good, folder, data):
    root = folder / "bundle"
    if not root.exists():
        shutil.copytree(bundle, root)
    found = opened(root, json.dumps(data.draw(altered(good))).encode("utf-8", "surrogatepass"))
    if found is not None:
        with contextlib.suppress(BundleError):
            require_whole(found)


@settings(QUICK, max_examples=300)
@given(content=st.binary(max_size=100) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_labels_are_names_or_one_error(folder, content):
    file = folder / "labels.txt"
    file.write_bytes(content)
    with contextlib.suppress(BundleError):
        names = read_labels(file)
        assert label_problems(names) == []
        assert all(len(name.splitlines()) == 1 for name in names)
