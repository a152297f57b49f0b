"""PyTorch's compilers: torch.compile and AOTInductor. What they made is kept in the user's cache directory.

Compiling takes minutes on a few cores. What comes of it is of one network, PyTorch, processor and number of threads.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from x3ddeploy.atomic import write_bytes, write_json
from x3ddeploy.benchmarking.kept import kept_file, made_ready, used
from x3ddeploy.environment import variable
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.progress import Step

TORCH_COMPILE, AOT_INDUCTOR = "torch.compile", "AOTInductor"
_INDUCTOR = "TORCHINDUCTOR_CACHE_DIR"  # where its own files go; a temporary folder otherwise
_NETWORKS = 1000  # in one process

Forward = Callable[..., Mapping[str, Tensor]]


@dataclass(frozen=True)
class Compiled:
    """A network that is compiled, or is to be.

    Attributes:
        name: what is compiled, for people.
        compiles: 'torch.compile' or 'AOTInductor'.
        depends_on: everything that the outcome depends on, as JSON takes it.
    """

    name: str
    compiles: str
    depends_on: tuple[Any, ...]

    @property
    def file(self) -> Path:
        """AOTInductor's package, or what says that torch.compile filled its cache."""
        suffix = ".pt2" if self.compiles == AOT_INDUCTOR else ".json"
        return kept_file("compiled", suffix, (self.compiles, *self.depends_on))

    def forward(self, network: nn.Module, inputs: Mapping[str, Tensor], progress: Step) -> Forward:
        """Compile a network, or take what is kept.

        Args:
            network: in evaluation mode, on the inputs' device; takes tensors by name and gives them by name.
            inputs: a batch; other shapes are not taken.
            progress: receives that it compiles, and how long it took.

        Raises:
            X3DDeployError: it cannot be compiled, for want of a C++ compiler for example.
        """
        with self._told(progress):
            if self.compiles == AOT_INDUCTOR:
                return self._ahead_of_time(network, inputs)
            forward: Forward = torch.compile(network, dynamic=False)
            # Networks share their wrapper's code: past PyTorch's limit of 8 another would run as it is, uncompiled.
            limits = torch._dynamo.config.patch(recompile_limit=_NETWORKS, fail_on_recompile_limit_hit=True)
            with torch.inference_mode(), limits:
                for _ in range(2):  # it compiles when it is run, and anew where its first run changed it (TPN)
                    forward(**inputs)
            write_json(self.file, {"compiled": self.name})
            return forward

    def _ahead_of_time(self, network: nn.Module, inputs: Mapping[str, Tensor]) -> Forward:
        from torch._inductor import aoti_compile_and_package, aoti_load_package

        if not self.file.exists():
            with torch.no_grad(), tempfile.TemporaryDirectory() as directory:
                program = torch.export.export(network, (), dict(inputs))
                made = Path(directory) / self.file.name
                # Weights become constants, laid out for the kernels beforehand, as PyTorch advises on CPUs.
                aoti_compile_and_package(program, package_path=str(made), inductor_configs={"freezing": True})
                write_bytes(self.file, made.read_bytes())
        forward: Forward = aoti_load_package(str(self.file))
        return forward

    @contextlib.contextmanager
    def _told(self, progress: Step) -> Iterator[None]:
        """Says what happens and how long it takes; a failure is an error of ours."""
        kept, start = self.file.exists(), time.perf_counter()
        progress(f"{self.name}: {'compiled before' if kept else 'compiling, once for this processor and PyTorch'}")
        logging.getLogger("torch._inductor").setLevel(logging.ERROR)
        try:
            made_ready(self.file.parent)
            with variable(_INDUCTOR, str(self.file.parent / "inductor")), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch's compilers tell of their own deprecations
                yield
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise X3DDeployError(f"{self.compiles} failed: {first}", hint="it needs a C++ compiler (g++)") from error
        used(self.file)
        if not kept:
            progress(f"{self.name}: compiled in {time.perf_counter() - start:.0f} s, kept in {self.file.parent}")
