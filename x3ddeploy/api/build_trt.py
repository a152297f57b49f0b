"""`x3ddeploy.build_trt`: TensorRT engines of a bundle, proven before they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from x3ddeploy.bundle.check import open_whole
from x3ddeploy.bundle.engine_options import BuildOptions, Flavour, HardwareCompatibility
from x3ddeploy.engines.build import EngineRequest, Engines, build_engines, parts_named
from x3ddeploy.engines.graphs import CalibrationClips, require_graphs
from x3ddeploy.engines.machine import find_host
from x3ddeploy.engines.shapes import Shapes, parse_shapes, profile_from
from x3ddeploy.progress import QUIET, Step
from x3ddeploy.terms import AnyPath, Precision, named


def build_trt(
    bundle: AnyPath = "deploy",
    *,
    precision: str | Precision = Precision.FP32,
    calib: AnyPath | None = None,
    calib_random: bool = False,
    rtx: bool = False,
    compute_capabilities: Sequence[str] = (),
    parts: Sequence[str] = (),
    min_shapes: str | Shapes = "",
    opt_shapes: str | Shapes = "",
    max_shapes: str | Shapes = "",
    workspace_mib: int | None = None,
    timing_cache: AnyPath | None = None,
    builder_optimization_level: int | None = None,
    version_compatible: bool = False,
    hardware_compat: str | HardwareCompatibility = HardwareCompatibility.NONE,
    command: str = "",
    progress: Step = QUIET,
) -> Engines:
    """Build TensorRT engines of a bundle, for the GPU that is here.

    Each engine is built and loaded in a process of its own, asked what it computes in, and compared with PyTorch; only
    then it goes into the bundle.

    Args:
        bundle: directory.
        precision: precision of the graphs that engines are built from; they are made first where the bundle has none.
        calib: clips for INT8 graphs that the bundle does not have yet.
        calib_random: made-up clips in their place, to try it out; the result is marked.
        rtx: build with TensorRT-RTX.
        compute_capabilities: with `rtx`, GPUs to build for ('8.9'); none has to be here, and nothing is run then.
        parts: names of the bundle's parts and preprocessing graphs; none takes all. Engines of the latter are float32.
        min_shapes: smallest shapes, as trtexec writes them ('imgs:1x3x16x224x224') or by name; '' for 1 clip.
        opt_shapes: shapes that kernels are chosen for, likewise; '' for the smallest.
        max_shapes: largest shapes, likewise; '' for 8 clips, and 16 persons in graphs that draw them.
        workspace_mib: limit of scratch memory in MiB.
        timing_cache: file of measured kernels; None for the one beside the engines.
        builder_optimization_level: 0 builds fast, 5 runs fast; None for TensorRT's default.
        version_compatible: the engines load in later versions of TensorRT, too.
        hardware_compat: GPUs that they load on besides the one that is here: 'ampere+' or 'sameComputeCapability'.
        command: what was typed, for the report beside each engine.
        progress: receives each step as a line.

    Raises:
        GateError: an engine computes in another precision, or something else than PyTorch; those before it stay.
        UsageError: the bundle was lowered for another runtime, or an argument makes no sense.
        BundleError: the bundle is not what its manifest says.
        MissingRequirementError: there is no GPU, or no TensorRT; the hint says what to do.
    """
    clips = CalibrationClips(None if calib is None else Path(calib), calib_random)
    wanted = named(Precision, precision)
    # What is wrong with the bundle or the question is said before what this machine lacks.
    opened = open_whole(Path(bundle))
    require_graphs(opened, wanted, clips)
    graphs = tuple(opened.manifest.tensors)
    chosen = parts_named(graphs, parts or graphs)
    smallest, best, largest = (
        parse_shapes(shapes) if isinstance(shapes, str) and shapes else shapes or {}
        for shapes in (min_shapes, opt_shapes, max_shapes)
    )
    profile = profile_from(opened.manifest, smallest, best, largest)
    capabilities = tuple(compute_capabilities)
    host = find_host(Flavour.RTX if rtx else Flavour.TENSORRT, capabilities)
    options = BuildOptions(
        flavour=host.flavour,
        precision=wanted,
        batches=profile.batches,
        persons=profile.persons,
        compute_capabilities=capabilities,
        workspace_mib=workspace_mib,
        optimization_level=builder_optimization_level,
        version_compatible=version_compatible,
        hardware_compatibility=HardwareCompatibility(hardware_compat),
    )
    cache = None if timing_cache is None else Path(timing_cache)
    return build_engines(opened, host, EngineRequest(options, chosen, clips, cache, command), progress)
