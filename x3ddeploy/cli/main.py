"""The `x3ddeploy` command: finds the verb's file, and ends with its exit code."""

from __future__ import annotations

import atexit
import contextlib
import difflib
import importlib
import os
import sys

import click

from x3ddeploy import __version__
from x3ddeploy.cli.echo import echo_lines, never_fail_to_encode
from x3ddeploy.cli.failures import exit_code_of

# verb -> one-line help; the verb's own file (and torch, onnx, ...) is imported when the verb runs.
VERBS = {
    "export": "Turn a trained checkpoint into a verified deployment bundle.",
    "quantize": "Add FP16 and INT8 graphs to a bundle, calibrated and judged.",
    "build-trt": "Build TensorRT engines of a bundle, each proven before it is kept.",
    "verify": "Check a bundle: files, golden outputs, every runtime that is here.",
    "inspect": "Say what a checkpoint, an ONNX file, annotations or a bundle holds.",
    "bench": "Time a bundle against PyTorch and RGBPoseConv3D, interleaved.",
    "synth": "Write a synthetic data set: videos, keypoints, splits; or pictures of persons.",
    "data": "Check a data set: splits, classes, persons, videos.",
    "train": "Train the network, or any model of MMAction2, from a config.",
    "eval": "Measure accuracy on labelled clips, beside PyTorch's numbers.",
    "predict": "Name the actions in videos, by sliding windows.",
    "explain": "Show where in a video its label was seen, and which joints decided.",
    "pose": "Find the persons in videos, by a pose model of yours.",
    "bundle": "Pack a bundle with the C++ runtime, to be built and tested on the target.",
    "triton": "Write a bundle as a Triton Inference Server model repository.",
    "doctor": "Say what works on this machine, and what to install.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"x3ddeploy.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], VERBS, n=1, cutoff=0.5)
            if close and args[0] not in VERBS:
                raise click.UsageError(f"{error.message} Did you mean {close[0]!r}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="x3ddeploy")
def main() -> None:
    """Deploy action recognizers: a trained checkpoint in, a verified bundle out, and on to the engines made of it.

    Results go to stdout, progress to stderr. Exit codes: 0 fine; 1 failed; 2 usage; 3 a gate (parity, accuracy,
    regression) failed; 4 this machine lacks what the command needs. X3DDEPLOY_TRACEBACK=1 in the environment shows
    where in the code an error arose.
    """


def program() -> None:
    """Entry point of the console script: `run`, after which the process ends at once.

    Python would first take PyTorch and the runtimes apart, most of a second for what the system takes back anyway.
    """
    try:
        run()
    except SystemExit as end:
        atexit._run_exitfuncs()  # temporary folders, logs, children
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(int(end.code or 0))


def run() -> None:
    """Run the command line of `sys.argv`; ends in SystemExit, with its exit code."""
    _stand_in_for_closed_streams()
    never_fail_to_encode()
    code = exit_code_of(main)
    try:
        sys.stdout.flush()
    except OSError as error:
        # Nobody reads the rest of stdout, or nothing takes it; else the interpreter would try once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code == 0 and not isinstance(error, BrokenPipeError):
            echo_lines(f"error: cannot write or read standard output: {error.strerror or error}")
        code = code or 1
    sys.exit(code)


def _stand_in_for_closed_streams() -> None:
    """A closed stream would be None, and its descriptor the next file's; what cannot be printed is an error."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)  # takes the lowest that is free
            setattr(sys, name, open(descriptor, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115
