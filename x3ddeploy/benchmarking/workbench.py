"""What competitors share, made once and when the first of them needs it: networks, exports, inputs, a video."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from x3ddeploy import __version__
from x3ddeploy.benchmarking.kept import kept_bytes, kept_file
from x3ddeploy.benchmarking.plain_export import plain_export
from x3ddeploy.benchmarking.video import VideoClip
from x3ddeploy.bundle import Bundle, golden_folder
from x3ddeploy.bundle.golden import read_array
from x3ddeploy.contract import WHOLE
from x3ddeploy.families import baseline_named, family_named, is_known
from x3ddeploy.families.network import Network
from x3ddeploy.loading import restore_network
from x3ddeploy.machine import installed_versions
from x3ddeploy.parity.metrics import SCORES
from x3ddeploy.progress import Step
from x3ddeploy.runtimes.base import Array, Feeds
from x3ddeploy.terms import Decoder

# What makes another file of a network -> the packages that it depends on.
_EXPORTERS = {"torch.onnx.export": ("torch", "onnx", "onnxscript"), "OpenVINO's converter": ("torch", "openvino")}


@dataclass(frozen=True)
class Setting:
    """What holds for all competitors of a run: clips at a time, CPU threads of each, and who decodes videos."""

    batch: int
    threads: int
    decoder: Decoder = Decoder.PYAV


class Workbench:
    """A bundle and what competitors share of it. Every attribute may raise what making it raises, each time anew."""

    def __init__(self, bundle: Bundle, setting: Setting, progress: Step, name: str = "") -> None:
        """Nothing is made yet.

        Args:
            bundle: a checked bundle.
            setting: the setting that all competitors share.
            progress: receives each step.
            name: name of the bundle, where several are compared.
        """
        self.bundle, self.setting, self.progress, self.name = bundle, setting, progress, name
        self._baselines: dict[str, BaselineNetwork] = {}
        torch.set_num_threads(setting.threads)

    def feeds(self, batch: int) -> Feeds:
        """The bundle's golden clips, again and again."""
        return {name: self._golden(name, batch) for name in self.bundle.contract.inputs}

    @cached_property
    def inputs(self) -> Feeds:
        """One batch for the bundle's networks."""
        return self.feeds(self.setting.batch)

    @cached_property
    def title(self) -> str:
        """What the bundle's network is called, for people; the family's name where the family is not known here."""
        name = self.bundle.contract.family
        return family_named(name).title if is_known(name) else name

    @cached_property
    def network(self) -> Network:
        """The training form, with the bundle's weights."""
        import onnx

        return restore_network(onnx.load(self.bundle.part_path(WHOLE)))

    @cached_property
    def expected(self) -> Array:
        """What PyTorch gave for `inputs` when the bundle was exported: golden `scores`, which all are compared with."""
        return self._golden(SCORES, self.setting.batch)

    def _golden(self, name: str, batch: int) -> Array:
        clips = read_array(self.bundle.path / golden_folder() / f"{name}.npy")
        again: Array = np.take(clips, np.arange(batch), axis=0, mode="wrap")
        return again

    @cached_property
    def plain(self) -> bytes:
        """The training form by torch.onnx.export, with the exporter's default of fixed shapes."""
        return self.exported("torch.onnx.export", lambda: plain_export(self.network, self.inputs, self.outputs))

    def exported(self, by: str, export: Callable[[], bytes]) -> bytes:
        """The training form as an exporter of _EXPORTERS makes it for `inputs`, now or in an earlier run."""
        weights = self.bundle.manifest.files[self.bundle.part_path(WHOLE).name].sha256
        return self.kept_export("the original network", by, weights, self.inputs, export)

    def kept_export(self, name: str, by: str, weights: str, inputs: Feeds, export: Callable[[], bytes]) -> bytes:
        """A network as an exporter of _EXPORTERS makes it, now or in an earlier run.

        Args:
            name: name of the network, for people.
            by: the exporter.
            weights: SHA-256 of what the network computes with.
            inputs: the batch that its shapes are fixed to.
            export: makes it.
        """
        shapes = {tensor: value.shape for tensor, value in inputs.items()}
        versions = installed_versions(_EXPORTERS[by])
        file = kept_file("exported", "", (name, by, weights, shapes, __version__, versions))
        return kept_bytes(file, export, f"{name} by {by}", self.progress)

    @cached_property
    def outputs(self) -> list[str]:
        """Names of what the training form gives, in its order."""
        with torch.inference_mode():
            return list(self.network(**{name: torch.from_numpy(value) for name, value in self.inputs.items()}))

    def baseline(self, name: str) -> BaselineNetwork:
        """A network of `x3ddeploy.families.BASELINES`, of as many classes as the bundle's."""
        return self._baselines.setdefault(name, BaselineNetwork(self, name))

    @cached_property
    def video(self) -> VideoClip:
        """What the scope `pipeline` starts from."""
        self.progress("making a video for the scope pipeline")
        return VideoClip(self.bundle.contract.inputs, self.setting.threads, self.setting.decoder)


class BaselineNetwork:
    """A published network with random weights, on clips of its own; what is made of it is made when it is asked for."""

    def __init__(self, bench: Workbench, name: str) -> None:
        self._bench, self._published = bench, baseline_named(name)
        self.title, self.outputs = self._published.title, self._published.outputs

    @cached_property
    def network(self) -> nn.Module:
        """The network on the CPU."""
        self._bench.progress(f"building {self.title}")
        return self.build()

    def build(self) -> nn.Module:
        """The network anew."""
        return self._published.build(self._bench.bundle.contract.classes)

    @cached_property
    def inputs(self) -> Feeds:
        """One batch of random clips."""
        return self._published.inputs(self._bench.setting.batch, self._bench.bundle.contract.inputs)

    @cached_property
    def graph(self) -> bytes:
        """The network's ONNX file by torch.onnx.export, of a fixed batch."""
        digest = hashlib.sha256()
        for name, value in self.network.state_dict().items():
            digest.update(name.encode())
            digest.update(value.numpy().tobytes())
        return self._bench.kept_export(
            self.title,
            "torch.onnx.export",
            digest.hexdigest(),
            self.inputs,
            lambda: plain_export(self.network, self.inputs, list(self.outputs)),
        )
