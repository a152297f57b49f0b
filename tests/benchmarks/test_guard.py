"""No graph becomes more work unnoticed: counts of the tiny network's graphs are those that are committed."""

from pathlib import Path

import onnx
import pytest
from support.scripts import module_of

guard = module_of(Path(__file__).parents[2] / "benchmarks" / "guard.py")


def test_graphs_ask_for_what_they_asked_for(bundle):
    now = {
        path.stem: guard.counts_of(onnx.load(path)) for path in bundle.glob("*.onnx") if "preprocess" not in path.stem
    }
    assert set(now) == {"rgb_backbone", "pose_backbone", "head", "recognizer"}
    assert list(guard.changes(guard.committed(guard.TINY)["tensorrt"], now)) == []


def test_the_full_size_graphs_are_committed_for_every_target():
    full_size = guard.committed(guard.FULL_SIZE)
    assert set(full_size) == {target.value for target in guard.Target}
    for parts in full_size.values():
        alone = sum(counts["multiply_adds"] for part, counts in parts.items() if part != "recognizer")
        assert parts["recognizer"]["multiply_adds"] == alone > 7e9


@pytest.mark.parametrize("dropped", ["Conv", "Relu"])
def test_an_operator_more_is_told(bundle, dropped):
    before = guard.counts_of(onnx.load(bundle / "recognizer.onnx"))
    after = {**before, "nodes": {**before["nodes"], dropped: before["nodes"][dropped] + 1}, "traffic_bytes": 1}
    told = list(guard.changes({"recognizer": before}, {"recognizer": after}))
    assert any(line.startswith(f"recognizer nodes {dropped}: ") for line in told)
    assert any(line.startswith("recognizer traffic_bytes: ") for line in told)
    assert len(told) == 2
