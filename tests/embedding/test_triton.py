"""The model repository: what Triton's own protobuf definition takes, and what its server would check at start."""

import ast
import importlib.util
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from support.documents import of_its_type
from support.present import present

from x3ddeploy.bundle import Bundle, EngineEntry, add_engine
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.embedding.triton import TritonOptions, write_repository
from x3ddeploy.errors import BundleError, UsageError
from x3ddeploy.tensorrt.place import plan_name
from x3ddeploy.terms import Precision

NUMPY = {"TYPE_FP32": np.float32, "TYPE_UINT8": np.uint8}


@pytest.fixture(scope="module")
def model_config():
    """Triton's definition, from the serialized form of it in its client's generated code.

    The code asks for gRPC, and for a protobuf that is hardly newer than the one that generated it; the definition needs
    neither, so configurations are checked with whichever protobuf is installed.
    """
    spec = importlib.util.find_spec("tritonclient")
    if spec is None:
        pytest.skip("tritonclient is not installed")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    (folder,) = map(Path, present(spec.submodule_search_locations))
    code = (folder / "grpc" / "model_config_pb2.py").read_text()
    (serialized,) = [
        ast.literal_eval(call.args[0])
        for call in ast.walk(ast.parse(code))
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "AddSerializedFile"
    ]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(descriptor_pb2.FileDescriptorProto.FromString(serialized))
    types = pool.FindEnumTypeByName("inference.DataType")
    return SimpleNamespace(
        ModelConfig=message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig")),
        DataType=SimpleNamespace(Name=lambda number: types.values_by_number[number].name),
    )


def read_configs(model_config, repository):
    from google.protobuf import text_format

    configs = {}
    for file in repository.glob("*/config.pbtxt"):
        configs[file.parent.name] = text_format.Parse(file.read_text(), model_config.ModelConfig())
    return configs


def tensors(model_config, values):
    return {value.name: (model_config.DataType.Name(value.data_type), tuple(value.dims)) for value in values}


@pytest.fixture(scope="module")
def repository(bundle, tmp_path_factory):
    path = tmp_path_factory.mktemp("triton") / "repository"
    write_repository(Bundle.open(bundle), path, TritonOptions(max_batch=4, instances=2))
    return path


def test_every_model_is_what_its_graph_is(model_config, repository):
    configs = read_configs(model_config, repository)
    models = {name: config for name, config in configs.items() if config.platform != "ensemble"}
    parts = ("rgb_backbone", "pose_backbone", "head", "preprocess_rgb", "preprocess_pose")
    assert set(models) == {f"x3d_{part}" for part in parts}
    for name, config in models.items():
        assert (config.name, config.backend, config.max_batch_size) == (name, "onnxruntime", 4)
        assert config.HasField("dynamic_batching")
        assert config.instance_group[0].count == 2
        graph = onnx.load(repository / name / "1" / "model.onnx").graph
        for declared, values in ((config.input, graph.input), (config.output, graph.output)):
            shapes = {
                value.name: tuple(axis.dim_value or -1 for axis in value.type.tensor_type.shape.dim) for value in values
            }
            assert {value.name: (-1, *value.dims) for value in declared} == shapes


def test_warm_up_files_are_the_golden_clip(model_config, repository, bundle):
    for name, config in read_configs(model_config, repository).items():
        for warm_up in config.model_warmup:
            assert set(warm_up.inputs) == {value.name for value in config.input}
            for tensor, value in warm_up.inputs.items():
                content = (repository / name / "warmup" / value.input_data_file).read_bytes()
                dtype = NUMPY[model_config.DataType.Name(value.data_type)]
                clip = np.frombuffer(content, dtype).reshape(tuple(value.dims))
                np.testing.assert_array_equal(clip, np.load(bundle / "golden" / f"{tensor}.npy")[0])
        assert bool(config.model_warmup) == (config.platform != "ensemble")


@pytest.mark.parametrize(
    ("name", "inputs"),
    [("x3d", {"frames", "keypoints", "keypoint_scores"}), ("x3d_tensors", {"imgs", "heatmap_imgs"})],
)
def test_an_ensemble_joins_models_whose_tensors_fit(model_config, repository, name, inputs):
    configs = read_configs(model_config, repository)
    ensemble = configs[name]
    known = tensors(model_config, ensemble.input)
    assert set(known) == inputs
    for step in ensemble.ensemble_scheduling.step:
        model = configs[step.model_name]
        assert set(step.input_map) == {value.name for value in model.input}
        for theirs, ours in step.input_map.items():
            assert known[ours] == tensors(model_config, model.input)[theirs]
        known |= {ours: tensors(model_config, model.output)[theirs] for theirs, ours in step.output_map.items()}
    outputs = tensors(model_config, ensemble.output)
    assert set(outputs) == {"scores", "rgb_logits", "pose_logits"}
    assert all(known[output] == declared for output, declared in outputs.items())
    assert (repository / name / "1").is_dir()


# What Triton would compute, step by step, in ONNX Runtime: frames and keypoints in, the golden scores out. Below fp32
# the bounds are those of the precision itself; what they would tell is another model's graph.
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 1e-2), ("int8", 1e-1)])
def test_the_ensemble_computes_the_golden_scores(model_config, quantized, tmp_path, precision, tolerance):
    onnxruntime = pytest.importorskip("onnxruntime")
    repository = tmp_path / "repository"
    write_repository(Bundle.open(quantized), repository, TritonOptions(precision=precision))
    values = {file.stem: np.load(file) for file in (quantized / "golden").glob("*.npy")}
    known = {name: values[name] for name in ("frames", "keypoints", "keypoint_scores")}
    for step in read_configs(model_config, repository)["x3d"].ensemble_scheduling.step:
        session = onnxruntime.InferenceSession(repository / step.model_name / "1" / "model.onnx")
        names = list(step.output_map)
        results = session.run(names, {theirs: known[ours] for theirs, ours in step.input_map.items()})
        known |= dict(zip((step.output_map[name] for name in names), results, strict=True))
    np.testing.assert_allclose(known["scores"], values["scores"], atol=tolerance)
    graph = "head.onnx" if precision == "fp32" else f"{precision}/head.onnx"
    assert (repository / "x3d_head" / "1" / "model.onnx").read_bytes() == (quantized / graph).read_bytes()


def with_engines(bundle, tmp_path, **options):
    """A copy with plans that are none: Triton's configuration does not look inside."""
    copy = shutil.copytree(bundle, tmp_path / "copy")
    files = Bundle.open(copy).manifest.files
    for part in ("rgb_backbone", "pose_backbone", "head"):
        build = BuildOptions(**{"flavour": Flavour.TENSORRT, "precision": Precision.FP32, **options})
        sha256 = files[f"{part}.onnx"].sha256
        entry = EngineEntry(part, sha256, "10.13.2.6", "NVIDIA H200", ("9.0",), None, build)
        add_engine(copy, plan_name(entry), entry, part.encode(), b"{}")
    return Bundle.open(copy), plan_name(entry).split("/")[1]


def test_engines_stand_in_the_graphs_place(model_config, bundle, tmp_path):
    opened, folder = with_engines(bundle, tmp_path, batches=Batches(1, 1, 8))
    write_repository(opened, tmp_path / "repository", TritonOptions(engines=folder))
    configs = read_configs(model_config, tmp_path / "repository")
    assert configs["x3d_head"].backend == "tensorrt"
    assert (tmp_path / "repository" / "x3d_head" / "1" / "model.plan").read_bytes() == b"head"
    assert configs["x3d_preprocess_rgb"].backend == "onnxruntime"


def test_what_triton_could_not_serve_is_refused(bundle, tmp_path):
    opened, folder = with_engines(bundle, tmp_path, batches=Batches(2, 2, 4))
    with pytest.raises(UsageError, match="takes 2 to 4 clips"):
        write_repository(opened, tmp_path / "out", TritonOptions(engines=folder, max_batch=4))
    with pytest.raises(BundleError, match="has no engines/another"):
        write_repository(opened, tmp_path / "out", TritonOptions(engines="another"))
    with pytest.raises(BundleError, match=r"has no int8/rgb_backbone\.onnx"):
        write_repository(opened, tmp_path / "out", TritonOptions(precision="int8"))
    (opened.path / "head.onnx").write_bytes(b"altered")
    with pytest.raises(BundleError, match="is not what its manifest says"):
        write_repository(opened, tmp_path / "out", TritonOptions())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    with pytest.raises(UsageError, match="not empty"):
        write_repository(opened, tmp_path / "full", TritonOptions())
    assert not (tmp_path / "out").exists()


def test_the_command_names_the_models(run, bundle, tmp_path):
    process = run("triton", bundle, "-o", tmp_path / "repository", "--name", "action", "--json")
    assert process.returncode == 0, process.stderr
    assert of_its_type("triton", process.stdout)["models"][-1] == "action"
    assert (tmp_path / "repository" / "action" / "config.pbtxt").is_file()


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "..", "", "-x", "x\n", "a b", "x\x1b[0m", "n" * 101, "x.y"])
def test_a_name_that_leads_elsewhere_is_refused(bundle, tmp_path, name):
    with pytest.raises(UsageError, match="is no name of a model"):
        write_repository(Bundle.open(bundle), tmp_path / "a" / "repository", TritonOptions(name=name))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("engines", ["../..", "/etc", "..", "a/../../b"])
def test_engines_are_those_of_the_bundle(bundle, tmp_path, engines):
    with pytest.raises(BundleError, match="has no engines/"):
        write_repository(Bundle.open(bundle), tmp_path / "repository", TritonOptions(engines=engines))
