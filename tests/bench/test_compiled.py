"""What PyTorch's compilers made is kept, and taken by the same network, PyTorch, processor and threads alone."""

import os
from functools import partial

import pytest
import torch
import torch._inductor
from support.present import present

from x3ddeploy.benchmarking.competitors import choose, without_slow
from x3ddeploy.benchmarking.compiled import TORCH_COMPILE, Compiled
from x3ddeploy.benchmarking.torch_forms import compiled_form
from x3ddeploy.benchmarking.workbench import Setting, Workbench
from x3ddeploy.bundle import Bundle
from x3ddeploy.errors import X3DDeployError

INPUTS = {"clips": torch.ones(1, 2)}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "x3ddeploy" / "compiled"


def workbench(bundle, *, batch=1, threads=1):
    return Workbench(Bundle.open(bundle), Setting(batch=batch, threads=threads), lambda text: None)


def compiled_of(bench, name):
    return present(compiled_form(bench, name))


class Wrapped(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, clips):
        return {"scores": self.layer(clips)}


class Doubled(torch.nn.Module):
    def forward(self, clips):
        return {"scores": 2 * clips}


def test_what_is_kept_takes_part_and_what_is_not_says_how_it_would(bundle, cache):
    bench = workbench(bundle)
    cache.mkdir(parents=True)
    for form in ("torch/aot-lowered", "torch/compile"):  # loading the second takes nearly as long as compiling it
        compiled_of(bench, form).file.touch()
    names, absent = without_slow(bench, choose(["torch", "nncf"], []))
    assert names == ["torch/eager", "torch/channels_last", "torch/aot-lowered"]
    assert [entry.name for entry in absent] == ["torch/compile", "torch/compile-lowered", "torch/aot", "nncf/openvino"]
    assert all("--all or --only" in entry.reason for entry in absent)


def test_another_batch_form_pytorch_or_number_of_threads_is_compiled_anew(bundle, cache, monkeypatch):
    files = [
        compiled_of(workbench(bundle, **setting), name).file
        for setting, name in (
            ({}, "torch/aot"),
            ({"batch": 2}, "torch/aot"),
            ({"threads": 2}, "torch/aot"),
            ({}, "torch/aot-lowered"),
            ({}, "torch/compile"),
        )
    ]
    monkeypatch.setattr(torch, "__version__", "3.0")
    assert len({*files, compiled_of(workbench(bundle), "torch/aot").file}) == 6
    assert all(file.parent == cache for file in files)


@pytest.mark.parametrize("name", ["torch/eager", "onnxruntime/fp32", "plain/openvino", "rgbposeconv3d/torch"])
def test_what_no_compiler_has_a_part_in_is_ready_at_once(bundle, name):
    assert compiled_form(workbench(bundle), name) is None


@pytest.mark.parametrize("form", ["compile", "aot"])
def test_it_compiles_once_into_the_cache_and_says_so(bundle, cache, monkeypatch, form):
    compiled = compiled_of(workbench(bundle), f"torch/{form}")
    told: list[str] = []
    folders: list[str] = []

    def ahead_of_time(program, *, package_path, inductor_configs):
        folders.append(os.environ["TORCHINDUCTOR_CACHE_DIR"])
        torch.save(0, package_path)

    def just_in_time(network, dynamic):
        folders.append(os.environ["TORCHINDUCTOR_CACHE_DIR"])
        return network

    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr(torch, "compile", just_in_time)
    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", ahead_of_time)
    monkeypatch.setattr(torch._inductor, "aoti_load_package", lambda path: Doubled())
    for _ in range(2):
        assert compiled.forward(Doubled(), INPUTS, told.append)(**INPUTS)["scores"].tolist() == [[2, 2]]
    assert compiled.file.exists()
    assert {*folders} == {str(cache / "inductor")}
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    first, seconds, again = told
    assert "compiling, once" in first
    assert f"kept in {cache}" in seconds
    assert "compiled before" in again
    assert len(folders) == (1 if form == "aot" else 2)  # torch.compile looks its kernels up itself


def test_a_compiler_that_fails_is_an_error_of_ours_and_leaves_nothing(bundle, cache, monkeypatch):
    def without_a_compiler(*_, **__):
        raise RuntimeError("No working C++ compiler found\nand a long trace")

    monkeypatch.setattr(torch, "compile", without_a_compiler)
    compiled = compiled_of(workbench(bundle), "torch/compile")
    with pytest.raises(X3DDeployError, match=r"torch\.compile failed: No working C") as failure:
        compiled.forward(Doubled(), INPUTS, lambda line: None)
    assert "g++" in failure.value.hint
    assert not compiled.file.exists()


@pytest.mark.families
def test_aot_inductor_itself_gives_the_same_when_it_is_loaded_again(bundle, cache):
    compiled = compiled_of(workbench(bundle), "torch/aot")
    clips = {"clips": torch.arange(2.0)[None]}
    for _ in range(2):
        assert compiled.forward(Doubled(), clips, lambda line: None)(**clips)["scores"].tolist() == [[0, 2]]


def test_the_ninth_network_of_a_process_is_compiled_as_the_first_is(cache, monkeypatch):
    """They share their wrapper's code, of which PyTorch compiles eight and then runs the rest as they are."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    before = graphs["unique_graphs"]
    for width in range(1, 11):
        network = Wrapped(torch.nn.Linear(width, 1).eval())
        Compiled("it", TORCH_COMPILE, (width,)).forward(network, {"clips": torch.ones(1, width)}, lambda text: None)
    assert graphs["unique_graphs"] - before == 10


def test_a_network_that_its_first_run_changes_is_compiled_before_it_is_timed(cache, monkeypatch):
    class Counting(torch.nn.Module):
        seen = 0

        def forward(self, clips):
            self.seen = min(self.seen + 1, 1)
            return {"scores": clips * self.seen}

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    inputs = {"clips": torch.ones(1, 2)}
    forward = Compiled("it", TORCH_COMPILE, ("counting",)).forward(Counting(), inputs, lambda text: None)
    graphs = torch._dynamo.utils.counters["stats"]
    before = graphs["unique_graphs"]
    with torch.inference_mode():
        forward(**inputs)
    assert graphs["unique_graphs"] == before
