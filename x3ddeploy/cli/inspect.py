"""`x3ddeploy inspect`: what is this file?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.parameters import Verb
from x3ddeploy.errors import X3DDeployError

if TYPE_CHECKING:
    from x3ddeploy.bundle import EngineEntry, FileEntry
    from x3ddeploy.inspection.document import (
        Inspected,
        InspectedAnnotations,
        InspectedBundle,
        InspectedCheckpoint,
        InspectedEngine,
        InspectedFolder,
        InspectedGraph,
    )


@click.command(cls=Verb)
@click.argument("artefact", type=click.Path(path_type=Path), default="deploy")
@click.option("--config", help="For a checkpoint: a config FILE or a preset, for values that it does not carry.")
@click.option("--trust-checkpoint", is_flag=True, help="Execute what a checkpoint asks for beyond weights.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(artefact: Path, config: str | None, trust_checkpoint: bool, as_json: bool) -> None:
    """Say what ARTEFACT is and holds: a bundle (default: deploy) or a folder in it, an ONNX file, an engine,
    annotations, or a checkpoint.

    Nothing is run, and nothing in the file is executed. Exit code 1 where it is not what it says, or breaks a rule.
    """
    report = x3ddeploy.inspect(artefact, config=config, trust=trust_checkpoint)
    if as_json:
        print_json(report)
    else:
        _print(artefact, report)
    if problems := getattr(report, "problems", None):
        raise X3DDeployError(
            f"{artefact} is not what it should be: {len(problems)} problems, listed above", hint="do not deploy it"
        )


def _print(path: Path, report: Inspected) -> None:
    from x3ddeploy.inspection import document

    match report:
        case document.InspectedAnnotations():
            _print_annotations(path, report)
        case document.InspectedBundle():
            _print_bundle(path, report)
        case document.InspectedCheckpoint():
            _print_checkpoint(path, report)
        case document.InspectedEngine():
            _print_engine(path, report)
        case document.InspectedFolder():
            _print_folder(path, report)
        case document.InspectedGraph():
            _print_graph(path, report)


def _print_bundle(path: Path, report: InspectedBundle) -> None:
    manifest = report.manifest
    source = manifest.source
    deployed, batch = manifest.scores[manifest.deployed].weights, report.batch
    weights = " + ".join(f"{weight:g} {logits}" for logits, weight in deployed.items())
    echo(f"{path}: {manifest.family}, a bundle for {manifest.target}, batch {batch or 'dynamic'}")
    echo(f"made from {source.name} (sha256 {source.sha256[:16]}...) by {_versions(manifest.versions)}")
    echo(f"scores of {report.classes} classes: {manifest.deployed} = {weights}")
    _print_tensors(report.tensors)
    _print_files(manifest.files, report.problems)
    for problem in report.problems:
        echo(f"problem: {problem}")
    for what in report.unchecked:
        echo(f"not checked: {what}")


def _print_files(files: dict[str, FileEntry], problems: list[str]) -> None:
    from x3ddeploy.cli.output import print_table, size_text

    altered = {problem.partition(":")[0]: problem.partition(": ")[2] for problem in problems}
    print_table(
        "",
        ("file", "size", "sha256", ""),
        [
            (name, size_text(entry.size_bytes), entry.sha256[:16], altered.get(name, "ok"))
            for name, entry in files.items()
        ],
        right=(1,),
    )


def _print_folder(path: Path, report: InspectedFolder) -> None:
    echo(f"{path}: {report.folder}/ of the bundle {report.bundle}")
    precision = report.precision
    if precision is not None:
        made_up = ", with MADE-UP clips: do not deploy this" if precision.random_calibration else ""
        echo(f"calibrated: {precision.calibration or 'no'}{made_up}")
        if precision.accuracy is None:
            echo("accuracy: NOT measured, no clips judged")
        for name, found in (precision.accuracy or {}).items():
            before, after = found.top1_before, found.top1_after
            top1 = "unlabelled" if before is None or after is None else f"{before:.2f} % -> {after:.2f} %"
            echo(f"{name}: top-1 {top1}, {found.agreement:.1%} keep their class")
        echo(f"stay in higher precision: {len(precision.float_layers)}")
    for name, engine in report.engines.items():
        echo(f"{name}: {_engine_text(engine)}")
    _print_files(report.files, report.problems)
    for problem in report.problems:
        echo(f"problem: {problem}")


def _print_engine(path: Path, report: InspectedEngine) -> None:
    from x3ddeploy.cli.output import size_text

    echo(f"{path}: an engine, {size_text(report.size_bytes)}, sha256 {report.sha256}")
    if report.engine is not None:
        echo(f"of the bundle {report.bundle}: {_engine_text(report.engine)}")
    for problem in report.problems:
        echo(f"problem: {problem}")


def _engine_text(engine: EngineEntry) -> str:
    options = engine.options
    batches = options.batches
    built_for = engine.gpu or "GPUs that were not there"
    return (
        f"{engine.part} in {options.precision}, {options.flavour.value} {engine.version}, for {built_for} "
        f"({', '.join(engine.compute_capabilities)}), {batches.minimum} to {batches.maximum} clips"
    )


def _print_annotations(path: Path, report: InspectedAnnotations) -> None:
    from x3ddeploy.cli.output import size_text
    from x3ddeploy.text import shell_word

    size, samples, classes = size_text(report.size_bytes), report.samples, report.classes
    echo(f"{path}: annotations, {size}, {samples} samples of {classes} classes, sha256 {report.sha256}")
    where = " and ".join({2: "in pixels", 3: "in space"}[axes] for axes in report.coordinates)
    joints = " or ".join(map(str, report.joints))
    frames = " to ".join(map(str, report.frames))
    echo(f"keypoints: {joints} joints {where}, at most {report.persons} persons, {frames} frames")
    echo(f"splits: {', '.join(f'{name} {count}' for name, count in report.splits.items()) or 'none'}")
    echo(f"what would stop eval and train: x3ddeploy data check {shell_word(path)}")


def _print_graph(path: Path, report: InspectedGraph) -> None:
    from x3ddeploy.cli.output import size_text

    opsets = ", ".join(f"{domain} {version}" for domain, version in report.opset.items())
    echo(f"{path}: ONNX, {size_text(report.size_bytes)}, {opsets}, IR {report.ir_version}")
    echo(f"by {report.producer or 'an unnamed producer'}, sha256 {report.sha256}")
    if report.metadata:
        metadata = report.metadata
        echo(f"{metadata.part} in {metadata.precision} for {metadata.target}")
    sides = {"inputs": report.inputs, "outputs": report.outputs}
    _print_tensors({"graph": {side: {name: tensor.shape for name, tensor in of.items()} for side, of in sides.items()}})
    work = report.multiply_adds
    arithmetic = "" if work is None else f", {work / 1e9:.2f} G multiply-adds a clip"
    echo(f"{report.parameters / 1e6:.2f} M parameters{arithmetic}")
    echo("nodes: " + ", ".join(f"{count} {op}" for op, count in report.nodes.items()))
    for problem in report.problems:
        echo(f"problem: {problem}")


def _print_checkpoint(path: Path, report: InspectedCheckpoint) -> None:
    from x3ddeploy.cli.output import print_origins, size_text

    echo(f"{path}: a checkpoint, {size_text(report.size_bytes)}, {report.family}, {report.classes} classes")
    echo(f"sha256 {report.source.sha256}")
    echo(", ".join(f"{name} {count / 1e6:.2f} M" for name, count in report.parameters.items()) + " parameters")
    print_origins(report.values, report.origins, report.notes)


def _print_tensors(parts: dict[str, Any]) -> None:
    from x3ddeploy.cli.output import print_table

    rows = [
        (part, side[:-1], name, " x ".join(map(str, shape)))
        for part, tensors in parts.items()
        for side in ("inputs", "outputs")
        for name, shape in tensors[side].items()
    ]
    print_table("", ("part", "", "tensor", "shape"), rows)


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
