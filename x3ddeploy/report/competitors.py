"""Every competitor's number and colour, the same in all charts of a report."""

from __future__ import annotations

from dataclasses import dataclass

from x3ddeploy.benchmarking.view import BenchRow, Report, main_scope, timed_rows
from x3ddeploy.families import BASELINES

OURS, SAME_NETWORK, OTHER_NETWORK = "ours", "same", "other"
MEANING = {
    OURS: "the bundle",
    SAME_NETWORK: "the same network by PyTorch, a plain torch.onnx.export, a runtime's own tools",
    OTHER_NETWORK: "another published network, with its own clips",
}


@dataclass(frozen=True)
class Numbers:
    """Numbers by latency in the report's main scope."""

    by_name: dict[str, int]

    @classmethod
    def of(cls, report: Report) -> Numbers:
        names = [row.name for row in timed_rows(report, main_scope(report))]
        others = [row.name for row in report.competitors]
        return cls({name: index for index, name in enumerate(dict.fromkeys([*names, *others]), start=1)})

    def __getitem__(self, name: str) -> int:
        return self.by_name[name]


def tone_of(row: BenchRow) -> str:
    """Colour of a row by whose network it is."""
    if row.is_ours:
        return OURS
    return OTHER_NETWORK if row.kind.partition("/")[0] in BASELINES else SAME_NETWORK
