"""The session's order of work, memory and graphs, on a fake GPU whose streams only do what they are made to do."""

import shutil
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from support.engine_graphs import graphs, inputs, network
from support.fake_cuda import FakeCuda, FakeMemory, FakeStream
from support.fake_tensorrt import SHAPES, Module
from support.hostile_scheduler import at_once

from x3ddeploy.bundle import Bundle, EngineEntry, add_engine
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.errors import BundleError, UsageError, X3DDeployError
from x3ddeploy.parity.golden import load_golden
from x3ddeploy.parity.metrics import compare
from x3ddeploy.runtimes import tensorrt_engines, tensorrt_session
from x3ddeploy.runtimes.choice import choose
from x3ddeploy.runtimes.registry import RUNTIMES, Execution, open_part
from x3ddeploy.runtimes.tensorrt_session import session_of_plans
from x3ddeploy.tensorrt.cuda import Cuda
from x3ddeploy.tensorrt.engine import TensorRTError
from x3ddeploy.tensorrt.place import plan_name
from x3ddeploy.tensorrt.trt import ParsedNetwork, TensorRT
from x3ddeploy.terms import Precision
from x3ddeploy.verification import fitted, verify_bundle

PARTS = (("rgb_backbone", "pose_backbone"), ("head",))
ON_GPU = Execution("tensorrt", "cuda", Precision.FP32)
FUSED = (("recognizer",),)


EVERY_MACHINE = [(shape, hasty) for shape in SHAPES for hasty in (False, True)]


@pytest.fixture(params=EVERY_MACHINE, ids=[f"{shape} {'hasty' if hasty else 'lazy'}" for shape, hasty in EVERY_MACHINE])
def cuda(request):
    """A GPU, and in `module` the TensorRT that is installed beside it."""
    shape, hasty = request.param
    cuda = FakeCuda(hasty=hasty)
    cuda.module = Module(SHAPES[shape], cuda)
    return cuda


def open_session(cuda, waves=PARTS, largest=4):
    tensorrt = TensorRT(cuda.module, Flavour.TENSORRT, lambda severity, text: None)
    options = BuildOptions(Flavour.TENSORRT, Precision.FP32, Batches(1, 1, largest))
    plans = [
        [
            tensorrt.parse(graphs("fp32")[part].SerializeToString()).build(options, None, lambda text: None)[0]
            for part in wave
        ]
        for wave in waves
    ]
    return session_of_plans(cuda, tensorrt, plans)


def expected(feeds):
    with torch.inference_mode():
        outputs = network()(**{name: torch.from_numpy(value) for name, value in feeds.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def assert_right(outputs, feeds):
    wanted = expected(feeds)
    assert set(outputs) == {name for name in wanted if not name.endswith("_feat")}
    for name, value in outputs.items():
        assert compare(wanted[name], value).within(1e-5), name


@pytest.mark.parametrize("waves", [PARTS, FUSED], ids=["parts", "fused"])
def test_outputs_are_the_networks(cuda, waves):
    """With two numbers of clips, each plain, recorded and replayed."""
    session = open_session(cuda, waves)
    for _ in range(3):
        for clips in (1, 2):
            feeds = inputs("recognizer", clips)
            assert_right(session.run(feeds), feeds)
    assert (session.runtime, session.version, session.device) == ("tensorrt", cuda.module.__version__, "Fake GPU")
    assert session.uses_cuda_graph
    assert cuda.launches == 4


def test_an_engine_whose_profile_cannot_be_shared_says_so(monkeypatch):
    """TensorRT 8.6 gives it to one context; the others would be refused with another reason, if they said one."""
    cuda = FakeCuda()
    module = Module(SHAPES["8.6"], cuda)
    tensorrt = TensorRT(module, Flavour.TENSORRT, lambda severity, text: None)
    network = tensorrt.parse(graphs("fp32")["recognizer"].SerializeToString())
    monkeypatch.setattr(network, "_prepare_for_sessions", lambda config: None)
    plan, _ = network.build(BuildOptions(Flavour.TENSORRT, Precision.FP32, Batches(1, 1, 4)), None, lambda text: None)
    session = session_of_plans(cast(Cuda, cuda), tensorrt, [[plan]])
    session.run(inputs("recognizer", 1))
    with pytest.raises(TensorRTError, match="belongs to another execution context") as error:
        session.run(inputs("recognizer", 2))
    assert "PROFILE_SHARING_0806" in error.value.hint


# --- what cannot be recorded ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clips", [1, 3])
def test_runs_that_cannot_be_recorded_go_on_plainly_and_say_so(cuda, clips, caplog):
    session = open_session(cuda)
    cuda.module.capture_fails = True
    for seed in range(4):
        feeds = inputs("recognizer", clips, seed)
        assert_right(session.run(feeds), feeds)
    assert not session.uses_cuda_graph
    assert (cuda.captures, cuda.launches) == (1, 0)  # it is not tried again
    assert session.notes == [
        f"runs of {clips} clips are not recorded as a CUDA graph: TensorRT could not enqueue a run"
    ]
    assert session.notes[0] in caplog.text


def test_one_number_of_clips_that_cannot_be_recorded_leaves_the_others_theirs(cuda):
    session = open_session(cuda)
    cuda.module.capture_fails = True
    for _ in range(2):
        session.run(inputs("recognizer", 1))
    cuda.module.capture_fails = False
    for _ in range(2):
        feeds = inputs("recognizer", 2)
        assert_right(session.run(feeds), feeds)
    assert cuda.launches == 1
    assert len(session.notes) == 1


def test_a_failure_that_only_the_end_of_a_capture_tells_is_no_graph(cuda, monkeypatch):
    session = open_session(cuda)
    session.run(inputs("recognizer", 1))
    for batch in session._batches.values():  # contexts that have never run since their shapes were set
        for wave in batch.waves:
            for _, context in wave:
                context._context._is_prepared = False
    feeds = inputs("recognizer", 1, 1)
    assert_right(session.run(feeds), feeds)
    assert "failed due to a previous error" in session.notes[0]


def rtx():
    cuda = FakeCuda()
    cuda.module = Module(SHAPES["rtx"], cuda)
    return cuda


def test_rtx_records_specialized_kernels_from_memory_that_was_given():
    cuda = rtx()
    session = open_session(cuda)
    for _ in range(3):
        session.run(inputs("recognizer", 2))
    assert session.uses_cuda_graph
    assert set(cuda.module.kernels) == {"specialized"}


def test_an_rtx_engine_that_allocates_as_it_runs_is_not_recorded(monkeypatch):
    monkeypatch.setattr(ParsedNetwork, "_prepare_for_sessions", lambda self, config: None)
    cuda = rtx()
    session = open_session(cuda)
    for _ in range(3):
        feeds = inputs("recognizer", 2)
        assert_right(session.run(feeds), feeds)
    assert cuda.captures == 0  # it tells beforehand
    assert "TensorRT says" in session.notes[0]


def test_callers_of_one_session_get_their_own_outputs():
    session, given = open_session(rtx()), [inputs("recognizer", clips, clips) for clips in (1, 2, 3)]
    for feeds, outputs in zip(given, at_once(session.run, *given, times=3), strict=True):
        for found in outputs:
            assert_right(found, feeds)


def test_every_run_of_a_number_of_clips_gives_its_own_clips(cuda):
    """Plain, recorded and replayed runs, with numbers of clips in between that share the memory."""
    session = open_session(cuda)
    for seed, clips in enumerate((1, 1, 1, 3, 1, 3, 3, 4, 2, 1)):
        feeds = inputs("recognizer", clips, seed)
        assert_right(session.run(feeds), feeds)


def test_the_second_run_is_recorded_and_later_ones_replay_it(cuda):
    session = open_session(cuda)
    launches = []
    for seed in range(4):
        session.run(inputs("recognizer", 1, seed))
        launches.append(cuda.launches)
    assert launches == [0, 1, 2, 3]


def test_both_backbones_have_a_stream_of_their_own(cuda):
    assert len(cuda.streams) == 0
    open_session(cuda, PARTS)
    assert len(cuda.streams) == 2


def test_a_missing_join_would_be_seen(monkeypatch):
    """The fake GPU has to be able to fail: without waits the head reads features that are not there yet."""
    monkeypatch.setattr(FakeStream, "wait", lambda self, event: None)
    cuda = FakeCuda()  # whose second stream waits until somebody asks
    cuda.module = Module(SHAPES["11"], cuda)
    feeds = inputs("recognizer", 1)
    outputs = open_session(cuda).run(feeds)
    wanted = expected(feeds)
    assert not all(compare(wanted[name], value).within(1e-5) for name, value in outputs.items())


def test_outputs_of_one_run_are_not_overwritten_by_the_next(cuda):
    session = open_session(cuda)
    feeds = inputs("recognizer", 1, 1)
    first = session.run(feeds)
    session.run(inputs("recognizer", 1, 2))
    assert_right(first, feeds)


def test_memory_is_allocated_once(cuda, monkeypatch):
    session = open_session(cuda)
    if not cuda.module.shape.is_rtx:  # whose contexts are given memory of their own
        monkeypatch.setattr(FakeCuda, "allocate", None)
    monkeypatch.setattr(FakeCuda, "allocate_pinned", None)
    for clips in (1, 4, 2):
        feeds = inputs("recognizer", clips)
        assert_right(session.run(feeds), feeds)


def test_contexts_of_few_numbers_of_clips_are_kept(cuda):
    session = open_session(cuda, largest=8)
    for clips in range(1, 9):
        feeds = inputs("recognizer", clips)
        assert_right(session.run(feeds), feeds)
    assert [shapes[0][0] for shapes in session._batches] == [5, 6, 7, 8]


def test_more_clips_than_the_profile_holds_are_refused(cuda):
    with pytest.raises(UsageError, match="at most 4") as error:
        open_session(cuda).run(inputs("recognizer", 5))
    assert "--max-shapes" in error.value.hint


def test_wrong_inputs_are_named(cuda):
    session = open_session(cuda)
    feeds = inputs("recognizer", 1)
    with pytest.raises(X3DDeployError, match="do not fit") as error:
        session.run({"imgs": feeds["heatmap_imgs"], "clip": feeds["imgs"]})
    text = str(error.value)
    assert "missing input 'heatmap_imgs'" in text
    assert "unknown input 'clip'" in text
    assert "'imgs' has shape" in text


# --- PyTorch's tensors on the GPU, played by these ------------------------------------------------------------------


class OnGpu:
    """What the session asks of a CUDA tensor."""

    is_cuda = True
    device = "cuda:0"

    def __init__(self, shape, values=None):
        self.memory = FakeMemory(shape, "float32")
        self.shape, self.dtype, self.offset, self.contiguous = tuple(shape), torch.float32, 0, True
        if values is not None:
            self.memory.array[...] = values

    def is_contiguous(self):
        return self.contiguous

    def data_ptr(self):
        return self.memory.address + self.offset


@pytest.fixture
def gpu_torch(cuda, monkeypatch):
    """PyTorch with a current stream on the fake GPU; gives that stream."""
    theirs = cuda.stream()
    monkeypatch.setattr(tensorrt_session, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: type("S", (), {"cuda_stream": theirs.handle}))
    empty = torch.empty  # of networks that a test makes, too

    def allocate(*shape, device=None, **rest):
        return OnGpu(*shape) if device == OnGpu.device else empty(*shape, device=device, **rest)

    monkeypatch.setattr(torch, "empty", allocate)
    return theirs


def on_gpu(feeds):
    return {name: OnGpu(value.shape, value) for name, value in feeds.items()}


def test_gpu_tensors_are_read_and_written_in_place(cuda, gpu_torch):
    session = open_session(cuda)
    feeds = inputs("recognizer", 2)
    tensors = on_gpu(feeds)  # held until the work is done; PyTorch's allocator holds freed memory for its stream
    outputs = session.run_on_gpu(tensors)
    gpu_torch.synchronize()
    assert_right({name: value.memory.array for name, value in outputs.items()}, feeds)


def test_work_on_gpu_tensors_is_ordered_with_pytorchs_stream(cuda, gpu_torch):
    """The inputs are written by work that PyTorch has only queued; the outputs are read by work queued afterwards."""
    session = open_session(cuda)
    feeds = inputs("recognizer", 1)
    tensors = {name: OnGpu(value.shape) for name, value in feeds.items()}
    for name, tensor in tensors.items():
        gpu_torch.put(("run", lambda name=name, tensor=tensor: np.copyto(tensor.memory.array, feeds[name])))
    outputs = session.run_on_gpu(tensors)
    read = {}
    for name, value in outputs.items():
        gpu_torch.put(("run", lambda name=name, value=value: read.update({name: value.memory.array.copy()})))
    gpu_torch.synchronize()
    assert_right(read, feeds)


def test_graphs_are_replayed_for_memory_that_comes_again(cuda, gpu_torch):
    session = open_session(cuda)
    tensors = on_gpu(inputs("recognizer", 1))
    out = session.run_on_gpu(tensors)
    for seed in (1, 2):
        feeds = inputs("recognizer", 1, seed)
        for name, value in feeds.items():
            tensors[name].memory.array[...] = value
        session.run_on_gpu(tensors, out)
        gpu_torch.synchronize()
        assert_right({name: value.memory.array for name, value in out.items()}, feeds)
    assert cuda.launches == 2


def test_new_memory_is_never_run_with_an_old_graph(cuda, gpu_torch):
    session = open_session(cuda)
    kept = []  # or the allocator gives the same memory again
    for seed in range(12):
        feeds = inputs("recognizer", 1, seed)
        tensors = on_gpu(feeds)
        out = session.run_on_gpu(tensors)
        kept.append((tensors, out))
        gpu_torch.synchronize()
        assert_right({name: value.memory.array for name, value in out.items()}, feeds)
    assert cuda.launches == 0


@pytest.mark.parametrize("fault", ["on the CPU", "strided", "unaligned", "half"])
def test_tensors_that_cannot_be_used_in_place_are_refused(cuda, gpu_torch, fault):
    tensors = on_gpu(inputs("recognizer", 1))
    if fault == "on the CPU":
        tensors["imgs"].is_cuda = False
    elif fault == "strided":
        tensors["imgs"].contiguous = False
    elif fault == "unaligned":
        tensors["imgs"].offset = 4
    else:
        tensors["imgs"].dtype = torch.float16
    with pytest.raises(X3DDeployError, match="in place") as error:
        open_session(cuda).run_on_gpu(tensors)
    assert [line.startswith("'imgs'") for line in error.value.details] == [True]


def test_an_output_of_another_shape_is_refused(cuda, gpu_torch):
    session = open_session(cuda)
    with pytest.raises(X3DDeployError, match="another shape"):
        session.run_on_gpu(on_gpu(inputs("recognizer", 1)), {"scores": OnGpu((2, 6))})


# --- engines of a bundle ---------------------------------------------------------------------------------------------


@pytest.fixture
def with_engines(bundle, tmp_path, monkeypatch):
    """A bundle whose parts have engines for the fake GPU; gives the bundle and the GPU."""
    cuda = FakeCuda()
    module = Module(SHAPES["11"], cuda)
    monkeypatch.setitem(RUNTIMES, "tensorrt", replace(RUNTIMES["tensorrt"], package="numpy"))  # it is installed
    monkeypatch.setattr(tensorrt_engines, "Cuda", lambda device: cuda)
    monkeypatch.setattr(tensorrt_engines, "open_tensorrt", lambda flavour, log: TensorRT(module, flavour, log))
    opened = Bundle.open(shutil.copytree(bundle, tmp_path / "deploy"))
    options = BuildOptions(Flavour.TENSORRT, Precision.FP32, Batches(1, 1, 4))
    for part in ("rgb_backbone", "pose_backbone", "head"):
        graph = opened.manifest.files[f"{part}.onnx"].sha256
        entry = EngineEntry(part, graph, module.__version__, "Fake GPU", ("9.0",), None, options)
        network = TensorRT(module, Flavour.TENSORRT, print).parse(opened.part_path(part).read_bytes())
        plan, _ = network.build(options, None, lambda text: None)
        opened = add_engine(opened.path, plan_name(entry), entry, plan, b"{}")
    return opened, cuda


def test_a_bundles_parts_open_as_one_recognizer(with_engines):
    opened, cuda = with_engines
    golden = load_golden(opened)
    outputs = open_part(opened, ON_GPU).run({name: golden[name] for name in ("imgs", "heatmap_imgs")})
    assert compare(golden["scores"], outputs["scores"]).within(1e-5)
    assert len(cuda.streams) == 2


def test_one_part_opens_alone(with_engines):
    opened, _ = with_engines
    golden = load_golden(opened)
    outputs = open_part(opened, ON_GPU, "pose_backbone").run({"heatmap_imgs": golden["heatmap_imgs"]})
    assert compare(golden["pose_feat"], outputs["pose_feat"]).within(1e-5)


def test_verify_runs_engines_part_by_part_and_together(with_engines):
    opened, _ = with_engines
    found = verify_bundle(opened, choose(opened, ["tensorrt"]), False, None, lambda text: None)
    labels = {check.name for check in found.checks if check.runtime == "tensorrt"}
    assert {"rgb_backbone -> rgb_feat", "head -> scores", "recognizer -> scores"} <= labels
    assert found.failures == []


def test_verify_gives_an_engine_as_many_clips_as_its_profile_takes(with_engines):
    opened, _ = with_engines
    engines = {
        name: replace(entry, options=replace(entry.options, batches=Batches(3, 3, 4)))
        for name, entry in opened.manifest.engines.items()
    }
    wide = Bundle(opened.path, replace(opened.manifest, engines=engines))
    golden = load_golden(wide)
    assert len(fitted(wide, ON_GPU, "head", golden)["rgb_feat"]) == 3
    assert len(fitted(wide, replace(ON_GPU, runtime="onnxruntime"), "head", golden)["rgb_feat"]) == 1


def test_engines_that_do_not_fit_are_left_out_unless_they_were_asked_for(with_engines):
    opened, cuda = with_engines
    cuda.compute_capability = "12.0"
    (line,) = [line for line in choose(opened).left_out if line.startswith("tensorrt fp32")]
    assert "built for compute capability 9.0 on Fake GPU" in line
    with pytest.raises(BundleError, match="fits this machine"):
        choose(opened, ["tensorrt"])


def test_an_engine_of_the_whole_network_runs_alone(with_engines):
    opened, _ = with_engines
    one = {name: entry for name, entry in opened.manifest.engines.items() if entry.part == "head"}
    alone = Bundle(opened.path, replace(opened.manifest, engines=one))
    with pytest.raises(BundleError, match="no fp32 engine of recognizer"):
        open_part(alone, ON_GPU)


def test_engines_of_another_gpu_do_not_open(with_engines):
    opened, cuda = with_engines
    cuda.compute_capability = "12.0"
    with pytest.raises(BundleError, match="fits this machine") as error:
        open_part(opened, ON_GPU)
    assert "built for compute capability 9.0 on Fake GPU" in error.value.details[0]
    assert "x3ddeploy build-trt" in error.value.hint


def test_a_resident_run_copies_nothing_and_computes_the_same(cuda, monkeypatch):
    session = open_session(cuda)
    feeds = inputs("recognizer", 2)
    session.run(feeds)
    monkeypatch.setattr(FakeStream, "to_device", None)
    for memory in (session._memory[name] for name in session.outputs):
        memory.array[...] = 0
    run = session.resident_run(2)
    for _ in range(3):
        assert run() >= len(PARTS[0]) + len(PARTS[1])  # the fake GPU's clock counts pieces of work
    scores = session._memory["scores"].array[: 2 * 6 * 4].view("float32").reshape(2, 6)
    assert compare(expected(feeds)["scores"], scores).within(1e-5)
