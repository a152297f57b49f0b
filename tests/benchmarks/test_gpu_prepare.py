"""Graphs that are carried to a GPU host: a fault in them would be found there, where nobody can mend it."""

import hashlib
import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.present import present

GPU = Path(__file__).parent.parent.parent / "benchmarks" / "gpu"


@pytest.fixture(scope="module")
def prepare():
    sys.path.insert(0, str(GPU))
    try:
        import prepare

        yield prepare
    finally:
        sys.path.remove(str(GPU))


def opset(path):
    (imported,) = onnx.load(path).opset_import
    return imported.version


def test_the_plain_export_is_the_original_network(prepare, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    original = next(form for form in prepare.forms("tiny") if form.name == "original")
    prepare.write_plain(tmp_path, original, ["fp32", "fp16"])
    path = tmp_path / "plain" / "original.fp32.onnx"
    session = onnxruntime.InferenceSession(path)
    inputs = original.inputs(3)  # another number of clips than it was exported with
    outputs = session.run(None, {name: value.numpy() for name, value in zip(prepare.INPUTS, inputs, strict=True)})
    with torch.inference_mode():
        expected = original.network(*inputs)
    assert [value.name for value in session.get_outputs()] == prepare.OUTPUTS
    for actual, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(actual, wanted.numpy(), rtol=1e-3, atol=1e-4)
    half = onnx.load(tmp_path / "plain" / "original.fp16.onnx")
    borders = (*half.graph.input, *half.graph.output)  # as the bundle's: copies of both are of the same bytes
    assert {value.type.tensor_type.elem_type for value in borders} == {onnx.TensorProto.FLOAT}
    weights = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    kernels = {weights[node.input[1]] for node in half.graph.node if node.op_type == "Conv"}
    assert kernels == {onnx.TensorProto.FLOAT16}
    assert opset(path) == 17  # TensorRT 8.6 reads no newer one


def test_all_forms_of_the_shift_compute_the_same(prepare, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    from shift_forms import SHIFT_FORMS, from_layout, to_layout
    from shift_variants import stages

    from x3ddeploy.families.two_stream_x3d.presets import PRESETS

    prepare.write_shift_forms(tmp_path, "tiny")
    places = list(stages(PRESETS["tiny"]))
    assert len(list(tmp_path.glob("*.onnx"))) == len(places) * len(SHIFT_FORMS)
    for stage in places:
        clip, outputs = torch.rand(1, *stage.shape), []
        for name, form in SHIFT_FORMS.items():
            path = tmp_path / f"{stage.name.replace(' ', '.')}.{name}.onnx"
            x = to_layout(clip, form.layout).half().numpy()
            (y,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
            outputs.append(from_layout(torch.from_numpy(y).float(), form.layout, clip.shape))
        assert outputs[0].abs().max() > 0.1
        for value in outputs[1:]:
            torch.testing.assert_close(value, outputs[0], rtol=0, atol=2e-2)


def test_pieces_are_one_archive_with_checksums(prepare, tmp_path):
    content = np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes()
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "file").write_bytes(content)
    (tmp_path / "plain").mkdir()
    pieces = prepare.pack(tmp_path, ["deploy"], 2000)
    assert len(pieces) >= 3
    assert all(piece.stat().st_size <= 2000 for piece in pieces)
    digest = hashlib.sha256(pieces[0].read_bytes()).hexdigest()
    assert f"{digest}  piece.000" in (tmp_path / "pieces" / "SHA256SUMS").read_text()
    with tarfile.open(fileobj=io.BytesIO(b"".join(piece.read_bytes() for piece in pieces)), mode="r:xz") as tar:
        assert tar.getnames() == ["deploy", "deploy/file"]
        assert present(tar.extractfile("deploy/file")).read() == content


def test_the_baselines_weights_have_the_names_that_mmaction2_gives_them(prepare):
    """So that it becomes a bundle by the same way as a trained checkpoint."""
    pytest.importorskip("mmaction")
    from support.recognizers import modules_of, state_dict_of
    from support.small_recognizers import rgbposeconv3d

    weights = prepare.as_trained(prepare.rgbposeconv3d_torch.build(60).state_dict())
    theirs = state_dict_of(modules_of(rgbposeconv3d()))  # of fewer blocks
    assert set(theirs) <= set(weights)
    assert {name.split(".")[0] for name in theirs} == {name.split(".")[0] for name in weights}
