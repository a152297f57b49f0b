"""A pipe with control characters in its name, in the place of every path that a verb takes: one error, at once."""

import os
import shutil
import time

import click
import numpy as np
import pytest
from support.action_data import annotation, moving_picture, write_annotations, write_video

from x3ddeploy.cli.main import VERBS, main

# What each verb is given beside the path that is tried; a new verb has to be added here.
GIVEN = {
    "export": ("{checkpoint}",),
    "quantize": ("{bundle}", "--fp16", "--calib", "{folder}/set.pkl"),
    "build-trt": ("{bundle}",),
    "verify": ("{bundle}", "--runtime", "onnxruntime"),
    "inspect": ("{bundle}",),
    "bench": ("{bundle}", "--seconds", "0.1"),
    "synth": ("{folder}/set",),
    "data check": ("{folder}/set.pkl",),
    "train": ("{folder}/none.py",),
    "eval": ("{bundle}", "--data", "{folder}/set.pkl", "--split", "val"),
    "predict": ("{folder}/clip.mp4", "--bundle", "{bundle}", "--keypoints", "{folder}/clip.npz"),
    "explain": ("{folder}/clip.mp4", "--bundle", "{bundle}", "--keypoints", "{folder}/clip.npz", "-o", "{folder}/x"),
    "pose": ("{folder}/clip.mp4", "--pose", "{folder}/none.onnx", "-o", "{folder}/x"),
    "bundle": ("{bundle}", "--pack", "{folder}/x.tar"),
    "triton": ("{bundle}", "-o", "{folder}/x"),
    "doctor": (),
}
LONGEST_S = 60  # on a busy machine: a pipe that is waited for is waited for without end


def commands():
    context = click.Context(main)
    for verb in VERBS:
        command = main.get_command(context, verb)
        inner = command.commands if isinstance(command, click.Group) else {"": command}
        yield from ((f"{verb} {name}".strip(), item) for name, item in inner.items())


@pytest.fixture(scope="module")
def given(bundle, checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    item = annotation("clip")
    write_video(folder / "clip.mp4", moving_picture())
    write_annotations(folder / "set.pkl", [item], {"val": ["clip"]})
    np.savez(folder / "clip.npz", keypoints=item["keypoint"], keypoint_scores=item["keypoint_score"])
    copied = shutil.copytree(bundle, folder / "deploy", copy_function=os.link)
    return {"bundle": copied, "checkpoint": checkpoint, "folder": folder}


def lines(pipe):
    """Every command line with the pipe in the place of a path, by verb and parameter."""
    for verb, command in commands():
        for parameter in command.params:
            if not isinstance(parameter.type, click.Path):
                continue
            rest = list(GIVEN[verb])
            if isinstance(parameter, click.Argument):
                rest[0] = str(pipe)
            else:
                rest = [f"{parameter.opts[-1]}={pipe}", *_without(rest, parameter.opts)]
            yield f"{verb} {parameter.name}", [*verb.split(), *rest]


TEXT = "a\x1b[2J\r\x07\x9b\u202eb"


@pytest.mark.families
def test_no_text_of_an_option_reaches_the_terminal_raw(run, given):
    for verb, command in commands():
        for parameter in command.params:
            if not isinstance(parameter.type, click.types.StringParamType | click.Choice):
                continue
            rest = _without(list(GIVEN[verb]), parameter.opts)
            words = [TEXT, *rest[1:]] if isinstance(parameter, click.Argument) else [*rest, parameter.opts[-1], TEXT]
            process = run(*verb.split(), *(word.format(**given) for word in words))
            told = process.stdout + process.stderr
            assert process.returncode in (1, 2, 4), (verb, parameter.name, told)
            assert "internal error" not in told, (verb, parameter.name, told)
            assert not set(told) & (set(TEXT) - set("a[2Jb")), (verb, parameter.name, told)


def _without(words, options):
    place = next((index for index, word in enumerate(words) if word in options), None)
    return words if place is None else [*words[:place], *words[place + 2 :]]


def test_a_pipe_is_told_as_what_it_is_in_the_place_of_every_path(run, given, tmp_path):
    pipe = tmp_path / "a\x1b[2J pipe"
    os.mkfifo(pipe)
    tried = dict(lines(pipe))
    assert {verb for verb, _ in commands()} == set(GIVEN)
    assert len(tried) > 40
    for name, words in tried.items():
        begun = time.monotonic()
        process = run(*(word.format(**given) for word in words))
        told = process.stdout + process.stderr
        assert process.returncode in (1, 2, 4), (name, told)
        assert "internal error" not in told, (name, told)
        assert "Traceback" not in told, (name, told)
        assert "\x1b" not in told, (name, told)
        assert time.monotonic() - begun < LONGEST_S, name
    assert pipe.is_fifo()
