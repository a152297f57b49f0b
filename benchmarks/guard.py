"""Whether a change made a graph more work: nodes, multiply-adds and bytes against committed values, without a clock.

Counted from the graphs that `x3ddeploy export` writes, so the load of a machine does not matter. What grew is refused;
what shrank is refused too until the committed values are written anew, so that a gain is kept.

    python benchmarks/guard.py            compare the full-size network's graphs with benchmarks/results/guard.json
    python benchmarks/guard.py --write    measure and write that file, tiny network included
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
import onnx

from x3ddeploy.atomic import write_json
from x3ddeploy.benchmarking.work import work_of
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.terms import Target

COMMITTED = Path(__file__).parent / "results" / "guard.json"
FULL_SIZE, TINY = "ntu60", "tiny"

Counts = dict[str, Any]


def counts_of(model: onnx.ModelProto) -> Counts:
    """What a float32 graph asks of a machine for one clip.

    Returns:
        nodes: operator -> how many; multiply_adds; traffic_bytes: inputs, weights and outputs of every node, each once;
        compulsory_bytes: inputs, weights and outputs of the graph.
    """
    work = work_of(model)
    if work is None:
        raise ValueError(f"{model.graph.name}: a shape is not known, so its work is not")
    return {
        "nodes": dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
        "multiply_adds": work.multiply_adds,
        "traffic_bytes": work.traffic_bytes,
        "compulsory_bytes": work.compulsory_bytes,
    }


def measure(preset: str) -> dict[str, dict[str, Counts]]:
    """Target -> part -> counts of a preset's graphs, batch N."""
    network = random_network(PRESETS[preset], seed=0)
    graphs = {target.value: build_parts(network, target, None, "0" * 64) for target in Target}
    return {target: {part: counts_of(model) for part, model in parts.items()} for target, parts in graphs.items()}


def committed(preset: str) -> dict[str, dict[str, Counts]]:
    """What `measure` gave when the values were written."""
    found: dict[str, dict[str, Counts]] = msgspec.json.decode(COMMITTED.read_bytes())[preset]
    return found


def changes(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Every value that is another one, in words."""
    for name in sorted({*before, *after}):
        old, new, where = before.get(name, 0), after.get(name, 0), f"{path}{name}"
        if isinstance(old, Mapping) or isinstance(new, Mapping):
            yield from changes(old or {}, new or {}, f"{where} ")
        elif old != new:
            yield f"{where}: {old:,} before, {new:,} now"


@click.command(help=__doc__)
@click.option("--write", is_flag=True, help="Write the committed values anew.")
def main(write: bool) -> None:
    """Compare, or write."""
    if write:
        write_json(COMMITTED, {preset: measure(preset) for preset in (TINY, FULL_SIZE)})
        print(f"written: {COMMITTED}")
        return
    found = list(changes(committed(FULL_SIZE), measure(FULL_SIZE)))
    print("\n".join(found) or "as committed")
    sys.exit(3 if found else 0)


if __name__ == "__main__":
    main()
