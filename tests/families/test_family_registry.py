"""Whoever adds a family writes its room, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.toy import ToyFamily, toy

import x3ddeploy.families
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.errors import BundleError, CheckpointError
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families import FAMILIES, family_named, register
from x3ddeploy.loading import load_network, restore_network
from x3ddeploy.parity.blocks import compare_blocks
from x3ddeploy.parity.reference import Reference
from x3ddeploy.runtimes.registry import open_session


@pytest.fixture(autouse=True, scope="module")
def known():
    register(ToyFamily())
    yield
    del FAMILIES["toy"]


@pytest.fixture(scope="module")
def parts(known):
    return build_parts(toy(), "openvino", None, "0" * 64)


def test_a_room_is_under_200_lines_but_where_mmaction_has_no_such_class_or_three_networks_share_one():
    rooms = Path(x3ddeploy.families.__file__).parent
    lines = {
        name: sum(len(path.read_text().splitlines()) for path in (rooms / name).rglob("*.py")) for name in FAMILIES
    }
    assert lines["slowonly"] > 0
    longer = {name for name, count in lines.items() if count >= 200}
    assert longer == {"two_stream_x3d", "epamnet", "skeleton_streams", "stgcn"}


def test_weights_tell_their_family(tmp_path):
    torch.save(toy(7).state_dict(), tmp_path / "toy.pth")
    loaded = load_network(tmp_path / "toy.pth")
    assert (loaded.network.family, loaded.network.model) == ("toy", {"classes": 7})


def test_weights_of_no_family_are_told_which_there_are(tmp_path):
    torch.save({"encoder.weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError) as caught:
        load_network(tmp_path / "other.pth")
    assert all(word in str(caught.value) for word in ("encoder.", "two_stream_x3d", "rgb_backbone.", "toy", "neck."))


def test_an_unknown_family_is_named_with_those_that_are_known():
    with pytest.raises(BundleError, match="videomae") as caught:
        family_named("videomae")
    assert "two_stream_x3d" in str(caught.value)


def test_every_part_is_a_graph_and_the_recognizer_all_of_them(parts):
    network, clips = toy(), torch.rand(3, 3, 4, 8, 8)
    with torch.inference_mode():
        expected = {name: value.numpy() for name, value in network(imgs=clips).items()}
    values = {"imgs": clips.numpy()}
    for part, described in network.contract().parts.items():
        session = open_session("onnxruntime", parts[part].SerializeToString())
        outputs = session.run({name: values[name] for name in described.inputs})
        assert tuple(outputs) == described.outputs
        for name, value in outputs.items():
            np.testing.assert_allclose(value, expected[name], atol=1e-5, err_msg=f"{part} -> {name}")
        values |= outputs


def test_a_graph_gives_its_network_back_whatever_its_family(parts):
    clips = torch.rand(2, 3, 4, 8, 8)
    with torch.inference_mode():
        rebuilt, expected = restore_network(parts["recognizer"])(clips), toy()(clips)
    assert all(torch.equal(rebuilt[name], expected[name]) for name in expected)


def test_blocks_are_compared_by_the_names_that_graphs_record(parts):
    assert [block.name for block in PartMetadata.of(parts["recognizer"]).blocks] == ["backbone/conv"]
    inputs = {"imgs": np.random.default_rng(0).random((2, 3, 4, 8, 8), np.float32)}
    (row,) = compare_blocks(toy(), "backbone", parts["backbone"].SerializeToString(), "onnxruntime", inputs)
    assert row.block == "backbone/conv"
    assert row.difference.within(row.tolerance())
    assert not compare_blocks(toy(), "neck", parts["neck"].SerializeToString(), "onnxruntime", {"feat": _features()})


def _features():
    return np.zeros((1, 6, 4, 8, 8), np.float32)


def test_each_part_has_a_rounding_of_its_own():
    reference = Reference(toy())
    reference.outputs({"imgs": np.random.default_rng(0).random((1, 3, 4, 8, 8), np.float32)})
    assert list(reference.rounding) == [
        "backbone -> feat", "neck -> mixed", "head -> logits", "head -> scores", "recognizer -> logits",
        "recognizer -> scores",
    ]  # fmt: skip
