"""`x3ddeploy triton`: a bundle for those who outgrow one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.parameters import MOST_CLIPS_AT_A_TIME, Count, Verb
from x3ddeploy.terms import Precision
from x3ddeploy.text import shell_word

_MOST_DELAY_US = 60_000_000  # a minute
_MOST_INSTANCES = 256


@click.command(cls=Verb)
@click.argument("bundle", type=click.Path(path_type=Path), default="deploy")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default="model_repository",
    show_default=True,
    help="New directory.",
)
@click.option(
    "--name", default="x3d", show_default=True, help="Of the ensemble; the other models' names begin with it."
)
@click.option(
    "--precision",
    type=click.Choice([precision.value for precision in Precision]),
    default=Precision.FP32.value,
    show_default=True,
    help="Of the graphs or engines.",
)
@click.option("--engines", metavar="FOLDER", help="Take the plans in the bundle's engines/FOLDER, not the ONNX graphs.")
@click.option("--max-batch", type=Count(MOST_CLIPS_AT_A_TIME), default=8, show_default=True, help="Clips put together.")
@click.option(
    "--queue-delay-us",
    type=Count(_MOST_DELAY_US, least=0),
    default=100,
    show_default=True,
    help="Microseconds that a request may wait for others.",
)
@click.option("--instances", type=Count(_MOST_INSTANCES), default=1, show_default=True, help="Of each model.")
@click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    bundle: Path,
    output: Path,
    name: str,
    precision: str,
    engines: str | None,
    max_batch: int,
    queue_delay_us: int,
    instances: int,
    device: Literal["auto", "cpu", "gpu"],
    as_json: bool,
) -> None:
    """Write BUNDLE (default: deploy) as a model repository of Triton Inference Server.

    The ensemble takes frames and keypoints where the bundle was exported with --preprocess, ready tensors else.
    """
    models = x3ddeploy.triton(
        bundle,
        output,
        name=name,
        precision=precision,
        engines=engines,
        max_batch=max_batch,
        queue_delay_us=queue_delay_us,
        instances=instances,
        device=device,
    )
    if as_json:
        from x3ddeploy.api.embed import TritonReport

        print_json(TritonReport(schema_version=1, repository=str(output), models=models))
        return
    echo(f"{output}: {', '.join(models)}")
    if f"{name}_tensors" not in models:
        echo("without preprocessing: the bundle was exported without --preprocess")
    echo(f"next: tritonserver --model-repository={shell_word(output)}")
