"""`x3ddeploy.bench`: how fast is a bundle here, next to others, and where does the time go?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from x3ddeploy.atomic import explain_os_errors, write_bytes, write_json
from x3ddeploy.benchmarking.compare import Comparison, compare_reports
from x3ddeploy.benchmarking.competitor import Absent, Scope
from x3ddeploy.benchmarking.competitors import choose, of_bundles, of_executions, without_slow
from x3ddeploy.benchmarking.document import BenchReport
from x3ddeploy.benchmarking.reading import read_report
from x3ddeploy.benchmarking.report import bench_report
from x3ddeploy.benchmarking.run import run_benchmark
from x3ddeploy.benchmarking.workbench import Setting, Workbench
from x3ddeploy.bundle import BENCH, BENCH_REPORTS
from x3ddeploy.bundle.check import open_whole
from x3ddeploy.data.decoders import require_decoder
from x3ddeploy.errors import GateError, UsageError, X3DDeployError
from x3ddeploy.machine import usable_cores
from x3ddeploy.places import REPORT_BYTES, require_place
from x3ddeploy.progress import QUIET, Step, counting
from x3ddeploy.report.page import render_html, render_markdown
from x3ddeploy.terms import AnyPath, Decoder, Precision, named

_OF_FILES = {Path(name).suffix for name in (BENCH, *BENCH_REPORTS)}


@dataclass(frozen=True)
class Benchmark:
    """A finished benchmark.

    Attributes:
        report: what bench.json holds (docs/bench.md).
        files: what was written: bench.json, report.html, report.md.
        failed: who computed something else, or not where it was asked to.
    """

    report: BenchReport
    files: tuple[Path, ...]
    failed: tuple[Absent, ...]

    def raise_for_failures(self) -> None:
        """Raises GateError that names every competitor in `failed`, if there is any."""
        if self.failed:
            raise GateError(
                "some computed something else, or not where they were asked to",
                details=[f"{entry.name}: {entry.reason}" for entry in self.failed],
            )


def bench(
    bundle: AnyPath | Sequence[AnyPath] = "deploy",
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    runtimes: Sequence[str] = (),
    device: str | None = None,
    precisions: Sequence[str | Precision] = (),
    with_slow: bool = False,
    scopes: Sequence[str | Scope] = (),
    batch: int | None = None,
    threads: int | None = None,
    decoder: str | Decoder = Decoder.PYAV,
    seconds: float = 75,
    output: AnyPath | None = None,
    progress: Step = QUIET,
) -> Benchmark:
    """Time a bundle in every runtime and precision, next to PyTorch and a baseline, and write the report.

    All competitors run in turn, round after round, with the same number of threads. Ctrl-C ends it and keeps what was
    measured. Who cannot take part stands in the report, with the reason.

    Args:
        bundle: directory, or several that are compared in one run: their own forms alone, without rivals, parts,
            throughput and layers.
        only: names of competitors, or of groups of them ('onnxruntime/int8', 'torch'); none takes all.
        skip: names to leave out.
        runtimes: the bundle's own forms in these runtimes, with those in `only`, and none other.
        device: the device of these runtimes; None for the first of each.
        precisions: the precisions of the graphs or engines; none takes all.
        with_slow: also those that take minutes to prepare: torch.compile, what AOTInductor has not compiled before, and
            the quantizers of the runtimes.
        scopes: 'compute', 'with_copies', 'pipeline', and these alone; none takes all three, and parts, throughput and
            layers beside them.
        batch: clips at a time; None for the bundle's own, or 1.
        threads: CPU threads of each; None for all usable cores.
        decoder: decoder of the scope `pipeline`: 'pyav', or 'nvdec' for that of an NVIDIA GPU.
        seconds: budget for timing.
        output: folder for the files; None for the bundle, where it is one.
        progress: receives each step as a line.

    Raises:
        BundleError: the bundle is not what its manifest says.
        MissingRequirementError: nothing that was asked for can be timed here, or a runtime that was named is not here.
        UsageError: there is no such competitor, runtime, device or precision, or `output` names a file, or is not given
            for several bundles.
        X3DDeployError: interrupted before one round was complete.
    """
    paths = [Path(bundle)] if isinstance(bundle, str | PathLike) else [Path(path) for path in bundle]
    if output is None and len(paths) != 1:
        raise UsageError(f"{len(paths)} bundles have no common folder", hint="say where the reports go with -o")
    decodes = named(Decoder, decoder)
    require_decoder(decodes)
    folder = paths[0] if output is None else _made(Path(output))
    forms = of_executions(runtimes, device, precisions) if runtimes or device or precisions else []
    names = choose([*only, *forms], skip)
    opened = [open_whole(path) for path in paths]
    require_place(folder, REPORT_BYTES)
    fixed = next((each.manifest.batch for each in opened if each.manifest.batch), 1)
    setting = Setting(batch or fixed, threads or usable_cores(), decodes)
    workbenches = [
        Workbench(each, setting, progress, name) for each, name in zip(opened, _told_apart(paths), strict=True)
    ]
    left_out: list[Absent] = []
    if len(paths) > 1:
        names = of_bundles(names)
    elif not (with_slow or only):
        names, left_out = without_slow(workbenches[0], names)
    wanted = {Scope(scope) for scope in scopes} or set(Scope)
    chosen = [scope for scope in Scope if scope in wanted]
    outcome = run_benchmark(workbenches, names, chosen, seconds, counting(progress), comparison_only=bool(scopes))
    outcome.absent += left_out
    if outcome.comparison.rounds == 0:
        raise X3DDeployError("interrupted before one round was complete", hint="give it more time")
    report = bench_report(workbenches, outcome, chosen, seconds)
    return Benchmark(report, _written(folder, report), tuple(entry for entry in outcome.absent if entry.failed))


def compare_benchmarks(before: AnyPath, after: AnyPath, *, threshold: float = 0.05, unlike: bool = False) -> Comparison:
    """Compare two bench.json files, competitor by competitor.

    Nothing is raised for what became slower: `Comparison.raise_for_regressions` does that.

    Args:
        before: file of the earlier measurement.
        after: file of the later one.
        threshold: share by which a median may grow.
        unlike: also compare what differs in more than its time; it is labelled.

    Raises:
        UsageError: the two are of unlike things, or have nothing in common.
        X3DDeployError: a file is no bench.json, or holds what is no measurement.
    """
    return compare_reports(read_report(Path(before)), read_report(Path(after)), threshold, unlike=unlike)


def _told_apart(paths: Sequence[Path]) -> list[str]:
    """Names of the bundles: none for one alone; of several their folders', or paths where folders are called alike."""
    if len(paths) == 1:
        return [""]
    places = [path.resolve() for path in paths]
    if len({*places}) < len(places):
        raise UsageError("a bundle is named twice", hint="a bundle's forms are compared with each other anyway")
    names = [place.name for place in places]
    return names if len({*names}) == len(names) else [str(path) for path in paths]


def _made(output: Path) -> Path:
    """The folder, made before anything is measured."""
    if output.is_file() or (output.suffix in _OF_FILES and not output.is_dir()):
        raise UsageError(f"-o {output} names a file", hint="give a folder; bench.json and the reports go into it")
    with explain_os_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    return output


def _written(folder: Path, report: BenchReport) -> tuple[Path, ...]:
    # The samples first: no fault of a page is to lose them.
    write_json(folder / BENCH, report)
    html, markdown = (folder / name for name in BENCH_REPORTS)
    write_bytes(html, render_html(report).encode())
    write_bytes(markdown, render_markdown(report).encode())
    return folder / BENCH, html, markdown
