"""What an engine is asked to be: frozen data that crosses the border to the building process as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from x3ddeploy.terms import Precision


class Flavour(Enum):
    """The two builders; the value is the Python module's name."""

    TENSORRT = "tensorrt"
    RTX = "tensorrt_rtx"

    @property
    def title(self) -> str:
        return "TensorRT" if self is Flavour.TENSORRT else "TensorRT-RTX"


class HardwareCompatibility(Enum):
    """Wider than the building GPU; the values are trtexec's."""

    NONE = "none"
    AMPERE_PLUS = "ampere+"
    SAME_COMPUTE_CAPABILITY = "sameComputeCapability"


@dataclass(frozen=True)
class Batches:
    """The optimisation profile: how many clips an engine takes, and how many its kernels are chosen for."""

    minimum: int
    optimum: int
    maximum: int


# Of a preprocessing graph that draws persons; two is what NTU RGB+D shows at most.
DEFAULT_PERSONS = Batches(1, 2, 16)


@dataclass(frozen=True)
class BuildOptions:
    """How to build, whatever the graph is.

    Attributes:
        flavour: the builder.
        precision: precision of the graph; where its types are not the law yet (TensorRT 8.6), flags say it again.
        batches: the profile of clips.
        compute_capabilities: 'major.minor' of the GPUs to build for without having them; TensorRT-RTX alone can.
        workspace_mib: limit of the scratch memory, None for the GPU's own.
        optimization_level: 0 (fast build) to 5 (fast engine), None for TensorRT's default.
        version_compatible: the plan loads in later versions too, through the lean runtime that it carries.
        hardware_compatibility: which other GPUs it loads on.
        persons: the profile of persons, of graphs whose inputs hold several.
    """

    flavour: Flavour
    precision: Precision
    batches: Batches
    compute_capabilities: tuple[str, ...] = ()
    workspace_mib: int | None = None
    optimization_level: int | None = None
    version_compatible: bool = False
    hardware_compatibility: HardwareCompatibility = HardwareCompatibility.NONE
    persons: Batches = DEFAULT_PERSONS
