"""`x3ddeploy bundle`: a bundle on its way to where it is used."""

from __future__ import annotations

from pathlib import Path

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.parameters import Verb
from x3ddeploy.text import shell_word


@click.command(cls=Verb)
@click.argument("bundle", type=click.Path(path_type=Path), default="deploy")
@click.option(
    "--pack",
    "archive",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE.tar",
    help="Write the bundle, the C++ runtime's sources and a self-test into one archive.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(bundle: Path, archive: Path, as_json: bool) -> None:
    """Pack BUNDLE (default: deploy) for a target that has no Python: unpack it there and run its self_test.sh.

    The files are checked against the manifest first. The same bundle gives the same bytes.
    """
    from x3ddeploy.cli.output import size_text

    packed = x3ddeploy.pack(bundle, archive)
    if as_json:
        print_json(packed.document())
        return
    echo(f"{packed.path}: {packed.files} files, {size_text(packed.size_bytes)}, sha256 {packed.sha256}")
    folder = shell_word(packed.path.name.partition(".")[0])
    echo(f"on the target: tar xf {shell_word(packed.path.name)} && {folder}/self_test.sh")
