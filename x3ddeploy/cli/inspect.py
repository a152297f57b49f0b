"""`x3ddeploy inspect`: what is this file?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json


@click.command()
@click.argument("artefact", type=click.Path(path_type=Path), default="deploy")
@click.option("--config", help="For a checkpoint: a config FILE or a preset, for values that it does not carry.")
@click.option("--trust-checkpoint", is_flag=True, help="Execute what a checkpoint asks for beyond weights.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(artefact: Path, config: str | None, trust_checkpoint: bool, as_json: bool) -> None:
    """Say what ARTEFACT is and holds: a bundle (default: deploy), an ONNX file, or a checkpoint.

    Nothing is run, and nothing in the file is executed.
    """
    report = x3ddeploy.inspect(artefact, config=config, trust=trust_checkpoint)
    if as_json:
        print_json(report)
        return
    {"bundle": _print_bundle, "onnx": _print_onnx, "checkpoint": _print_checkpoint}[report["kind"]](artefact, report)


def _print_bundle(path: Path, report: dict[str, Any]) -> None:
    from x3ddeploy.cli.output import print_table, size_text

    manifest = report["manifest"]
    source = manifest["source"]
    deployed, batch = manifest["scores"][manifest["deployed"]]["weights"], report["batch"]
    weights = " + ".join(f"{weight:g} {logits}" for logits, weight in deployed.items())
    echo(f"{path}: {manifest['family']}, a bundle for {manifest['target']}, batch {batch or 'dynamic'}")
    echo(f"made from {source['name']} (sha256 {source['sha256'][:16]}...) by {_versions(manifest['versions'])}")
    echo(f"scores of {report['classes']} classes: {manifest['deployed']} = {weights}")
    _print_tensors(report["tensors"])
    altered = {problem.partition(":")[0]: problem.partition(": ")[2] for problem in report["problems"]}
    print_table(
        "",
        ("file", "size", "sha256", ""),
        [
            (name, size_text(entry["size_bytes"]), entry["sha256"][:16], altered.get(name, "ok"))
            for name, entry in manifest["files"].items()
        ],
        right=(1,),
    )
    for problem in report["problems"]:
        echo(f"problem: {problem}")
    for what in report["unchecked"]:
        echo(f"not checked: {what}")


def _print_onnx(path: Path, report: dict[str, Any]) -> None:
    from x3ddeploy.cli.output import size_text

    opsets = ", ".join(f"{domain} {version}" for domain, version in report["opset"].items())
    echo(f"{path}: ONNX, {size_text(report['size_bytes'])}, {opsets}, IR {report['ir_version']}")
    echo(f"by {report['producer'] or 'an unnamed producer'}, sha256 {report['sha256']}")
    if report["metadata"]:
        metadata = report["metadata"]
        echo(f"{metadata['part']} in {metadata['precision']} for {metadata['target']}")
    shapes = {side: {name: tensor["shape"] for name, tensor in report[side].items()} for side in ("inputs", "outputs")}
    _print_tensors({"graph": shapes})
    work = report["multiply_adds"]
    arithmetic = "" if work is None else f", {work / 1e9:.2f} G multiply-adds a clip"
    echo(f"{report['parameters'] / 1e6:.2f} M parameters{arithmetic}")
    echo("nodes: " + ", ".join(f"{count} {op}" for op, count in report["nodes"].items()))
    for problem in report["problems"]:
        echo(f"problem: {problem}")


def _print_checkpoint(path: Path, report: dict[str, Any]) -> None:
    from x3ddeploy.cli.output import print_origins, size_text

    echo(f"{path}: a checkpoint, {size_text(report['size_bytes'])}, {report['family']}, {report['classes']} classes")
    echo(f"sha256 {report['source']['sha256']}")
    echo(", ".join(f"{name} {count / 1e6:.2f} M" for name, count in report["parameters"].items()) + " parameters")
    print_origins(report["values"], report["origins"], report["notes"])


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
