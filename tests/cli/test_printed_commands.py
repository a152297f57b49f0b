"""A command that is printed works when it is pasted, whatever the path is called."""

import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.engine_options import Flavour
from x3ddeploy.cli import quantize
from x3ddeploy.cli.main import VERBS, main
from x3ddeploy.embedding.triton import Options, write_repository
from x3ddeploy.errors import BundleError
from x3ddeploy.tensorrt.place import build_command
from x3ddeploy.terms import Precision


@pytest.fixture
def odd(bundle, tmp_path):
    """A bundle whose path a shell would take apart."""
    return shutil.copytree(bundle, tmp_path / 'it\'s a $(bundle); & "more"')


def opened_by(command):
    """The path that a pasted command opens; it is parsed as the shell and then the verb would."""
    name, verb, *words = shlex.split(command)
    assert name == "x3ddeploy"
    assert verb in VERBS
    found = main.get_command(click.Context(main), verb).make_context(verb, words).params
    opened = next(found[key] for key in ("bundle", "checkpoint", "artefact") if key in found)
    return Path(opened[0] if isinstance(opened, tuple) else opened)  # `bench` takes several


def after(text, word):
    (line,) = [line for line in text.splitlines() if line.startswith(word)]
    return line.removeprefix(word).strip()


def test_export_says_what_comes_next(run, checkpoint, tmp_path):
    path = tmp_path / "a 'new' bundle"
    process = run("export", checkpoint, "-o", path)
    assert process.returncode == 0, process.stderr
    commands = after(process.stdout, "next:").split("    ")
    assert [shlex.split(command)[1] for command in commands] == ["verify", "bench"]
    assert [opened_by(command) for command in commands] == [path, path]


def test_quantize_and_hints_name_the_bundle(odd, capsys):
    class Nothing:
        def __getattr__(self, name):
            return ()

    quantize._print(SimpleNamespace(made=(), verdict=Nothing(), bundle=SimpleNamespace(path=odd)))
    assert opened_by(after(capsys.readouterr().out, "next:")) == odd
    bundle = Bundle.open(odd)
    for precision in (Precision.FP32, Precision.FP16, Precision.INT8):
        assert opened_by(build_command(bundle, precision, Flavour.RTX)) == odd
    with pytest.raises(BundleError) as error:
        write_repository(bundle, odd.parent / "repository", Options(engines="gpu"))
    assert opened_by(error.value.hint.partition("`")[2].removesuffix("`")) == odd
    with pytest.raises(BundleError) as error:
        bundle.part_path("head", "int8")
    assert opened_by(error.value.hint.partition("`")[2].partition("`")[0]) == odd


def test_triton_and_pack_name_what_they_wrote(run, odd):
    repository, archive = odd.parent / "my repository", odd.parent / "my app.tar"
    process = run("triton", odd, "-o", repository)
    assert shlex.split(after(process.stdout, "next:")) == ["tritonserver", f"--model-repository={repository}"]
    process = run("bundle", odd, "--pack", archive)
    words = shlex.split(after(process.stdout, "on the target:"))
    assert words == ["tar", "xf", "my app.tar", "&&", "my app/self_test.sh"]
