"""How many examples the property tests of the readers draw in a run."""

import re
from pathlib import Path

from hypothesis import is_hypothesis_test
from support.scripts import module_of

ROOT = Path(__file__).parents[1]
LEAST = 2000
MODULES = (
    "tests/test_readers_hold.py",
    "tests/bundle/test_manifest_properties.py",
    "tests/checkpoint/test_properties.py",
    "tests/data/test_reader_properties.py",
)


def examples(path):
    """Name of each property test in a file -> the examples that it draws."""
    module = module_of(path, f"counted_{path.stem}")
    tests = {name: value for name, value in vars(module).items() if is_hypothesis_test(value)}
    return {name: test._hypothesis_internal_use_settings.max_examples for name, test in tests.items()}


def test_at_least_two_thousand_examples_are_drawn_in_every_run(monkeypatch):
    for name in MODULES:
        monkeypatch.syspath_prepend(str((ROOT / name).parent))
    drawn = {name: sum(examples(ROOT / name).values()) for name in MODULES}
    assert all(drawn.values()), drawn
    assert sum(drawn.values()) >= LEAST
    said = re.search(r"(\d+) examples a run", (ROOT / "docs" / "proof.md").read_text(encoding="utf-8"))
    assert said, "docs/proof.md says how many"
    assert int(said[1]) == sum(drawn.values()), drawn


def test_no_file_of_property_tests_is_left_out():
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if "\n@given(" in path.read_text(encoding="utf-8")]
    assert {path.relative_to(ROOT).as_posix() for path in files} <= set(MODULES)
