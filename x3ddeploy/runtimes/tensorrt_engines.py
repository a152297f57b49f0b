"""A bundle's TensorRT engines that fit this machine, in a session."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from x3ddeploy.bundle import Bundle
from x3ddeploy.contract import WHOLE
from x3ddeploy.runtimes.tensorrt_session import TensorRTSession, session_of_plans
from x3ddeploy.tensorrt.cuda import Cuda
from x3ddeploy.tensorrt.place import Host, engine_path, engines_of, flavour_of
from x3ddeploy.tensorrt.trt import TensorRT, open_tensorrt
from x3ddeploy.terms import Precision


def require_device(device: str) -> None:
    """Raises MissingRequirementError where there is no such GPU."""
    Cuda(_index(device))


def open_engines(
    bundle: Bundle, part: str, precision: Precision, runtime: str, device: str, before: Sequence[str] = ()
) -> TensorRTSession:
    """The engine of a part; for the whole network those of its pieces, which run side by side, where it has them.

    Args:
        bundle: an opened bundle.
        part: part of the contract, or a preprocessing graph.
        precision: precision of the engines; those of preprocessing graphs are float32.
        runtime: 'tensorrt' or 'tensorrt-rtx'.
        device: 'cuda', or 'cuda:1' for the second GPU.
        before: preprocessing graphs whose engines run in front, so that the session takes what they take.

    Raises:
        MissingRequirementError: no GPU, or no TensorRT.
        BundleError: there is no such engine, or none that fits; what it was built on and how to rebuild it is said.
    """
    cuda = Cuda(_index(device))
    tensorrt = open_tensorrt(flavour_of(runtime), _log)
    waves = _waves(bundle, part, precision, runtime)
    paths = _plans(bundle, [*([[(name, Precision.FP32) for name in before]] if before else []), *waves], cuda, tensorrt)
    plans = [[path.read_bytes() for path in wave] for wave in paths]
    # Their sha256 is the manifest's: the lean runtime that a version-compatible plan carries may run.
    session = session_of_plans(cuda, tensorrt, plans, host_code=True)
    session.runtime = runtime
    return session


def require_engines(
    bundle: Bundle, precision: Precision, runtime: str, device: str, before: Sequence[str] = ()
) -> None:
    """Raises BundleError where no engines of the whole network, and of the graphs in front of it, fit this machine.

    Raises:
        MissingRequirementError: as `open_engines`.
    """
    waves = [[(name, Precision.FP32) for name in before], *_waves(bundle, WHOLE, precision, runtime)]
    _plans(bundle, waves, Cuda(_index(device)), open_tensorrt(flavour_of(runtime), _log))


def _waves(bundle: Bundle, part: str, precision: Precision, runtime: str) -> list[list[tuple[str, Precision]]]:
    """The engines that a part runs in, by name and precision."""
    built = {entry.part for entry in engines_of(bundle, runtime, precision)}
    is_cut = part == WHOLE and built.issuperset(bundle.contract.pieces)
    return [[(name, precision) for name in wave] for wave in (bundle.contract.waves if is_cut else ((part,),))]


def _plans(
    bundle: Bundle, waves: Sequence[Sequence[tuple[str, Precision]]], cuda: Cuda, tensorrt: TensorRT
) -> list[list[Path]]:
    """Files of engines that fit this machine."""
    host = Host(cuda.name, cuda.compute_capability, None, tensorrt.flavour, tensorrt.version)
    return [[engine_path(bundle, name, precision, host) for name, precision in wave] for wave in waves]


def _index(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def _log(severity: str, message: str) -> None:
    logging.getLogger("x3ddeploy.tensorrt").warning("%s: %s", severity, message)
