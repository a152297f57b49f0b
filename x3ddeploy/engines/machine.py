"""Can this machine build what is asked for? The driver is asked first, TensorRT last, and nothing is touched."""

from __future__ import annotations

import msgspec

from x3ddeploy.bundle.engine_options import Flavour
from x3ddeploy.child_process import run_in_child, run_probe
from x3ddeploy.doctor.packages import is_importable
from x3ddeploy.engines.worker import PROBE, Probed
from x3ddeploy.errors import MissingRequirementError, UsageError
from x3ddeploy.tensorrt.place import Host
from x3ddeploy.tensorrt.trt import INSTALL

_TIMEOUT_S = 60.0
_WITHOUT_GPU = "x3ddeploy build-trt --rtx --compute-capability 8.9 builds engines for RTX cards without one"


def find_host(flavour: Flavour, compute_capabilities: tuple[str, ...]) -> Host:
    """What engines would be built with and on.

    Args:
        flavour: the builder.
        compute_capabilities: compute capabilities of the GPUs to build for; empty for the one that is here.

    Raises:
        UsageError: TensorRT builds for the GPU that is here alone; or TensorRT-RTX does not build for one of them.
        MissingRequirementError: no GPU where one is needed, or no TensorRT; the hint says what to install.
    """
    if compute_capabilities and flavour is Flavour.TENSORRT:
        raise UsageError(
            "TensorRT builds for the GPU that it runs on: --compute-capability goes with --rtx", hint=_WITHOUT_GPU
        )
    # In a process of its own: a broken driver may crash, or hang.
    outcome = run_probe("x3ddeploy.doctor.probes:cuda_driver", _TIMEOUT_S)
    devices = outcome.facts.get("devices", [])
    if not devices and not compute_capabilities:
        reason = outcome.problem or outcome.facts.get("problem") or "the CUDA driver sees no GPU"
        raise MissingRequirementError(
            f"{flavour.title} needs the GPU that the engines are for, and there is none: {reason}",
            hint=f"run this on a machine with an NVIDIA GPU and its driver; {_WITHOUT_GPU}",
        )
    if not is_importable(flavour.value):
        raise MissingRequirementError(f"{flavour.title} is not installed", hint=INSTALL[flavour])
    what = f"importing {flavour.title}"
    probed = msgspec.convert(run_in_child(PROBE, {"flavour": flavour.value}, what, lambda text: None), Probed)
    unknown = [capability for capability in compute_capabilities if capability not in probed.compute_capabilities]
    if unknown:
        raise UsageError(
            f"{flavour.title} {probed.version} does not build for compute capability {', '.join(unknown)}",
            hint=f"it builds for {', '.join(probed.compute_capabilities)}",
        )
    first = devices[0] if devices else {}
    return Host(
        gpu=first.get("name"),
        compute_capability=first.get("compute_capability"),
        driver=outcome.facts.get("driver"),
        flavour=flavour,
        version=probed.version,
        strongly_typed=probed.strongly_typed,
    )
