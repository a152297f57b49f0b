"""`x3ddeploy train`: a config of MMAction2's kind in, checkpoints that `export` reads out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, libraries_on_stderr, print_json
from x3ddeploy.cli.next_steps import print_next
from x3ddeploy.cli.parameters import LARGEST_SEED, Count, Verb
from x3ddeploy.text import shell_word

_PAIR = re.compile(r"[A-Za-z_][\w.]*=")  # a value of the config


@click.command(cls=Verb)
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("more_options", metavar="[KEY=VALUE]...", nargs=-1)
@click.option(
    "--work-dir",
    type=click.Path(path_type=Path),
    help="Where checkpoints and logs go. Default: the config's, else work_dirs/<name of CONFIG>.",
)
@click.option(
    "--resume",
    is_flag=False,
    flag_value="auto",
    metavar="[CKPT]",
    help="Go on from this checkpoint; from the last one in the work directory where none is named.",
)
@click.option("--amp", is_flag=True, help="Mixed precision (needs a GPU).")
@click.option(
    "--cfg-options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a value of the config, e.g. train_cfg.max_epochs=10; further KEY=VALUE may follow.",
)
@click.option(
    "--seed",
    type=Count(LARGEST_SEED, least=0),
    help="Of weights, order, augmentation and dropout. Default: the config's, else 0.",
)
@click.option(
    "--launcher",
    type=click.Choice(["none", "pytorch"]),
    help="Default: pytorch where torchrun started this process, else none.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    config: Path,
    more_options: tuple[str, ...],
    work_dir: Path | None,
    resume: str | None,
    amp: bool,
    cfg_options: tuple[str, ...],
    seed: int | None,
    launcher: Literal["none", "pytorch"] | None,
    as_json: bool,
) -> None:
    """Train the two-stream network, any model of MMAction2, or a pose network with its detector, as CONFIG says.

    CONFIG is a Python file of MMEngine's kind and is EXECUTED: give only files that you trust. Several GPUs or
    machines: torchrun --nproc_per_node N -m x3ddeploy train CONFIG. A run that diverges stops and says what was seen.
    """
    if resume is not None and _PAIR.match(resume) and not Path(resume).exists():
        resume, more_options = "auto", (resume, *more_options)
    with libraries_on_stderr():  # MMEngine logs to stdout
        result = x3ddeploy.train(
            config,
            work_dir=work_dir,
            resume=resume,
            amp=amp,
            cfg_options=(*cfg_options, *more_options),
            seed=seed,
            launcher=launcher,
            progress=lambda line: echo(line, err=True),
        )
    if result is None:
        return  # another process of torchrun's reports
    if as_json:
        print_json(result)
        return
    echo(f"{result.work_dir}: {result.epochs} epochs")
    if result.best is not None and result.best_score is not None:
        echo(f"best: {result.best_score:.2%} ({result.monitored})")
    if result.onnx:
        echo(f"written, and equal to PyTorch up to float rounding: {', '.join(result.onnx.values())}")
        models = " ".join(f"--{name} {shell_word(file)}" for name, file in result.onnx.items())
        print_next(f"predict VIDEO {models} --each-person")
        return
    checkpoint = result.best or result.last
    if checkpoint is not None:
        print_next(f"export {shell_word(checkpoint)}")
