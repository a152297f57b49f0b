"""Every form of checkpoint that users have must read to the same weights, and every other file be told apart."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.checkpoint_files import (
    CONFIG,
    history_buffers,
    mmengine_content,
    read_checkpoint,
    save,
    saved_weights,
    tiny_weights,
    trained_weights,
)
from torch import nn

from x3ddeploy.errors import CheckpointError


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture
def mmengine_file(tmp_path: Path) -> Path:
    with history_buffers():
        return save(tmp_path / "epoch_78.pth", mmengine_content())


def test_mmengine_file_reads_whole_without_mmengine(mmengine_file: Path) -> None:
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(mmengine_file, weights_only=True)  # what makes this test worth its name
    modules = set(sys.modules)
    checkpoint = read_checkpoint(mmengine_file)
    assert not {name for name in set(sys.modules) - modules if name.startswith("mmengine")}
    assert checkpoint.sha256 == hashlib.sha256(mmengine_file.read_bytes()).hexdigest()
    assert checkpoint.config_text == CONFIG
    assert checkpoint.class_names == ("a", "b", "c", "d", "e", "f")
    assert checkpoint.epoch == 78
    assert _same(checkpoint.state_dict, trained_weights())
    assert checkpoint.notes == ("ignored message_hub, optimizer, param_schedulers (not needed for inference)",)


def test_real_history_buffers_are_read(tmp_path: Path) -> None:
    pytest.importorskip("mmengine.logging.history_buffer")
    from mmengine.config import ConfigDict

    content = mmengine_content() | {"extra": ConfigDict(a=1, b={"c": [2]})}
    assert len(read_checkpoint(save(tmp_path / "c.pth", content)).state_dict) == len(tiny_weights()) + 2


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"state_dict": w}, lambda w: {"model": w, "epoch": 3}])
@pytest.mark.parametrize("zipped", [True, False])
def test_nesting_and_file_format_do_not_matter(tmp_path: Path, wrap: Callable[[object], object], zipped: bool) -> None:
    path = save(tmp_path / "c.pth", wrap(tiny_weights()), zipped=zipped)
    assert _same(read_checkpoint(path).state_dict, tiny_weights())


def test_ddp_prefix_is_removed_and_noted(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save(tmp_path / "c.pth", {f"module.{k}": v for k, v in tiny_weights().items()}))
    assert _same(checkpoint.state_dict, tiny_weights())
    assert any("module." in note for note in checkpoint.notes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32_and_are_noted(tmp_path: Path, dtype: torch.dtype) -> None:
    weights = {key: value.to(dtype) for key, value in tiny_weights().items()}
    checkpoint = read_checkpoint(save(tmp_path / "c.pth", weights))
    assert {value.dtype for value in checkpoint.state_dict.values()} == {torch.float32}
    assert _same(checkpoint.state_dict, {key: value.float() for key, value in weights.items()})
    name = str(dtype).removeprefix("torch.")
    assert checkpoint.notes == (f"converted {len(weights)} {name} tensors to float32",)


def test_mmengine_ema_takes_the_validated_weights_unless_asked(tmp_path: Path) -> None:
    averaged = tiny_weights()
    raw = {key: value + 1 for key, value in averaged.items()}
    other = {"steps": torch.tensor(9)} | {f"module.{key}": value for key, value in raw.items()}
    path = save(tmp_path / "c.pth", {"state_dict": averaged, "ema_state_dict": other})
    default, asked = read_checkpoint(path), read_checkpoint(path, ema=True)
    assert _same(default.state_dict, averaged)
    assert _same(asked.state_dict, raw)
    assert any("EMA" in note for note in default.notes)
    assert any("ema_state_dict" in note for note in asked.notes)


def test_mmcv_ema_buffers_are_told_from_weights(tmp_path: Path) -> None:
    weights = tiny_weights()
    parameters = [key for key in weights if "running" not in key]
    buffers = {"ema_" + key.replace(".", "_"): weights[key] + 1 for key in parameters}
    path = save(tmp_path / "c.pth", {"state_dict": weights | buffers})
    assert _same(read_checkpoint(path).state_dict, weights)
    asked = read_checkpoint(path, ema=True).state_dict
    assert _same(asked, {key: value + (key in parameters) for key, value in weights.items()})


def test_ema_without_a_copy_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no second, EMA copy"):
        read_checkpoint(save(tmp_path / "c.pth", tiny_weights()), ema=True)


def test_weights_of_other_parts_are_left_out_and_named(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save(tmp_path / "c.pth", tiny_weights() | {"neck.weight": torch.ones(2)}))
    assert checkpoint.state_dict.keys() == tiny_weights().keys()
    assert any("neck.weight" in note for note in checkpoint.notes)


def test_read_weights_survive_the_file_being_overwritten(tmp_path: Path) -> None:
    path = save(tmp_path / "c.pth", tiny_weights())
    checkpoint = read_checkpoint(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert _same(checkpoint.state_dict, tiny_weights())


def _onnx_bytes() -> bytes:
    graph = onnx.helper.make_graph([], "g", [], [])
    return onnx.helper.make_model(graph, producer_name="x").SerializeToString()


def _safetensors_bytes() -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


@pytest.mark.parametrize(
    ("data", "looks_like"),
    [
        (b"", "is empty"),
        (b"hello there, this is no checkpoint", "text that opens with 'hello"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b'{"state_dict": 1}', "JSON"),
        (_onnx_bytes(), "an ONNX model"),
        (_safetensors_bytes(), "a safetensors file"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x80\x04}\x94.", "a Python pickle that torch.save did not write"),
        (bytes(range(129, 256)), "unknown binary data"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "data",  # bytes are no stable names
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, data: bytes, looks_like: str) -> None:
    path = tmp_path / "c.pth"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=looks_like) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_archives_of_other_kinds_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(2))
    with pytest.raises(CheckpointError, match="NumPy archive"):
        read_checkpoint(tmp_path / "a.npz")
    torch.jit.save(torch.jit.script(nn.ReLU()), tmp_path / "s.pt")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_checkpoint(tmp_path / "s.pt")


def test_compressed_archive_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c/data.pkl", bytes(1 << 20))
    with pytest.raises(CheckpointError, match="compressed again"):
        read_checkpoint(tmp_path / "bomb.pth")


def test_missing_file_and_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        read_checkpoint(tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError, match="is a directory"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be opened"):
        read_checkpoint(Path("a\0b"))


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_files_are_called_damaged(tmp_path: Path, zipped: bool) -> None:
    path = save(tmp_path / "c.pth", saved_weights(), zipped=zipped)
    data = path.read_bytes()
    for length in (100, 1000, len(data) // 2, len(data) - 400, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            read_checkpoint(path)


def test_damaged_bytes_give_weights_or_one_clear_error(tmp_path: Path) -> None:
    path = save(tmp_path / "c.pth", {"state_dict": {"rgb_backbone.a": torch.ones(2)}})
    data = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(data)
        for position in generator.integers(0, len(data), 8):
            damaged[position] = generator.integers(0, 256)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):  # whole or not, it is of no two-stream network
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds one list"),
        ({}, "no recognizable weights"),
        ({"state_dict": {}}, "no recognizable weights"),
        ({"optimizer": {"lr": 1}}, "optimizer"),
        ({"ema_state_dict": {"module.a": torch.ones(1)}}, "--ema"),
        ({"backbone.conv1.weight": torch.ones(1), "cls_head.fc.weight": torch.ones(1)}, "backbone., cls_head."),
        ({3: torch.ones(1)}, "not text"),
        (tiny_weights() | {"module." + k: v for k, v in tiny_weights().items()}, "both with and without"),
    ],
)
def test_content_without_our_weights_is_explained(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(save(tmp_path / "c.pth", content))
    assert message in str(caught.value)


KEY = "rgb_backbone.conv5.conv.weight"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text", "a str, not a tensor"),
        (None, "not a tensor"),
        (torch.ones(2, dtype=torch.int8), "int8 numbers"),
        (torch.ones(2, dtype=torch.complex64), "complex64 numbers"),
        (torch.ones(2, 2).to_sparse(), "sparse"),
        (torch.empty(2, device="meta"), "dataless"),
        (torch.ones(1).expand(1 << 40), "more than is stored"),
        (torch.tensor([1.0, float("nan")]), "NaN or infinite"),
        (torch.tensor([1e300], dtype=torch.float64), "NaN or infinite"),
    ],
)
def test_unusable_values_are_listed_by_key(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(save(tmp_path / "c.pth", tiny_weights() | {KEY: value}))
    assert KEY in str(caught.value)


def test_many_infinite_weights_are_listed_shortly(tmp_path: Path) -> None:
    weights = {key: value * float("inf") for key, value in tiny_weights().items()}
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(save(tmp_path / "c.pth", weights))
    assert len(caught.value.details) == 11
    assert str(len(weights)) in caught.value.message


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(save(tmp_path / "c.pth", {"\x1b[2Jevil.a": torch.ones(1)}))
    assert "\x1b" not in str(caught.value)
