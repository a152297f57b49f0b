"""A checkpoint from a stranger must not run anything on the user's machine."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.checkpoint_files import history_buffers, mmengine_content, read_checkpoint, save, save_pickle, tiny_weights

from x3ddeploy.checkpoint.unpickling import unpickle
from x3ddeploy.errors import CheckpointError


class _Command:
    """Runs a shell command when unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.mark.parametrize("options", [{}, {"pickle_protocol": 4}, {"zipped": False}])
def test_command_in_a_pickle_is_refused_by_name_and_never_runs(tmp_path: Path, sentinel: Path, options: dict) -> None:
    content = {"state_dict": tiny_weights(), "meta": {"cfg": _Command(f"touch {sentinel}")}}
    path = save(tmp_path / "c.pth", content, **options)
    with pytest.raises(CheckpointError, match="not unpickled") as caught:
        read_checkpoint(path)
    assert not sentinel.exists()
    assert caught.value.details == (f"{os.system.__module__}.system",)
    assert "--trust-checkpoint" in caught.value.hint


def test_every_refused_global_is_named(tmp_path: Path) -> None:
    evil = {"a": _Command("true"), "b": np.random.RandomState, "c": pickle.Unpickler}
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(save(tmp_path / "c.pth", {"state_dict": tiny_weights(), **evil}))
    assert len(caught.value.details) == 3
    assert "numpy.random" in str(caught.value)
    assert "Unpickler" in str(caught.value)


def _text(value: str) -> bytes:
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


@pytest.mark.parametrize(
    "start", [b"cbuiltins\nstr\n", b"cnumpy\nndarray\n", b"cmmengine.logging.history_buffer\nHistoryBuffer\n"]
)
@pytest.mark.parametrize("call", [b"R", b"\x81", b"b"])  # REDUCE, NEWOBJ, BUILD
def test_chains_of_allowed_names_reach_nothing(tmp_path: Path, sentinel: Path, start: bytes, call: bytes) -> None:
    # getattr(getattr(start, '__class__'), '__subclasses__')('touch ...'), with the names that are on the list.
    getattr_ = b"c__builtin__\ngetattr\n"
    chain = getattr_ + getattr_ + start + _text("__class__") + b"\x86R" + _text("__subclasses__") + b"\x86R"
    data = b"\x80\x02}" + _text("a") + chain + _text(f"touch {sentinel}") + b"\x85" + call + b"s."
    with pytest.raises(CheckpointError):
        read_checkpoint(save_pickle(tmp_path / "c.pth", data))
    assert not sentinel.exists()


def test_getattr_on_os_is_refused(tmp_path: Path, sentinel: Path) -> None:
    data = b"\x80\x02c__builtin__\ngetattr\ncos\npath\n" + _text("os") + b"\x86R."
    with pytest.raises(CheckpointError, match="not unpickled") as caught:
        read_checkpoint(save_pickle(tmp_path / "c.pth", data))
    assert caught.value.details == ("os.path",)


def test_allowed_names_become_inert_values(tmp_path: Path) -> None:
    with history_buffers():
        path = save(tmp_path / "c.pth", mmengine_content())
    with path.open("rb") as file:
        content: Any = unpickle(file, "c.pth", trust=False).content
    buffer = content["message_hub"]["log_scalars"]["train/loss"]
    best = content["message_hub"]["runtime_info"]["best"]
    assert type(buffer) is type(best)
    assert type(buffer).__module__.startswith("x3ddeploy.")
    assert not hasattr(buffer, "__dict__")


def test_reading_leaves_no_name_allowed(tmp_path: Path) -> None:
    # PyTorch gives the list of a set, whose order the names that come and go may change.
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(save(tmp_path / "c.pth", tiny_weights()))
    assert set(torch.serialization.get_safe_globals()) == before


def test_trusted_file_is_unpickled_and_says_what_it_ran(tmp_path: Path, sentinel: Path) -> None:
    content = {"state_dict": tiny_weights(), "extra": _Command(f"touch {sentinel}")}
    checkpoint = read_checkpoint(save(tmp_path / "c.pth", content), trust=True)
    assert sentinel.exists()
    assert f"{os.system.__module__}.system" in checkpoint.notes[0]
    assert checkpoint.state_dict.keys() == tiny_weights().keys()


def test_trust_changes_nothing_for_a_plain_file(tmp_path: Path) -> None:
    path = save(tmp_path / "c.pth", tiny_weights())
    assert read_checkpoint(path, trust=True).notes == read_checkpoint(path).notes == ()


def test_trusted_file_that_needs_a_missing_package_says_which(tmp_path: Path) -> None:
    data = b"\x80\x02cabsent_package.module\nThing\n)R."
    path = save_pickle(tmp_path / "c.pth", data)
    with pytest.raises(CheckpointError, match="'absent_package'"):
        read_checkpoint(path, trust=True)
    assert "absent_package" not in sys.modules


def test_unusual_protocol_needs_trust(tmp_path: Path) -> None:
    path = save(tmp_path / "c.pth", tiny_weights(), pickle_protocol=4)
    with pytest.raises(CheckpointError, match="protocol"):
        read_checkpoint(path)
    assert read_checkpoint(path, trust=True).state_dict.keys() == tiny_weights().keys()


def test_whole_pickled_module_is_explained(tmp_path: Path) -> None:
    path = save(tmp_path / "c.pth", torch.nn.ReLU())
    with pytest.raises(CheckpointError, match="not unpickled"):
        read_checkpoint(path)
    with pytest.raises(CheckpointError, match="a whole pickled module"):
        read_checkpoint(path, trust=True)
