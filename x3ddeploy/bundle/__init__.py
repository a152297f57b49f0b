"""The bundle: a directory of graphs and what is known of them, whole when its manifest is there."""

from x3ddeploy.bundle.manifest import SCHEMA_VERSION as SCHEMA_VERSION
from x3ddeploy.bundle.manifest import AccuracyEntry as AccuracyEntry
from x3ddeploy.bundle.manifest import EngineEntry as EngineEntry
from x3ddeploy.bundle.manifest import FileEntry as FileEntry
from x3ddeploy.bundle.manifest import Manifest as Manifest
from x3ddeploy.bundle.manifest import PrecisionEntry as PrecisionEntry
from x3ddeploy.bundle.manifest import Preprocessing as Preprocessing
from x3ddeploy.bundle.manifest import Source as Source
from x3ddeploy.bundle.manifest import Spread as Spread
from x3ddeploy.bundle.opened import Bundle as Bundle
from x3ddeploy.bundle.paths import BENCH as BENCH
from x3ddeploy.bundle.paths import BENCH_REPORTS as BENCH_REPORTS
from x3ddeploy.bundle.paths import CALIBRATION as CALIBRATION
from x3ddeploy.bundle.paths import ENGINES as ENGINES
from x3ddeploy.bundle.paths import EVAL as EVAL
from x3ddeploy.bundle.paths import GOLDEN as GOLDEN
from x3ddeploy.bundle.paths import LABELS as LABELS
from x3ddeploy.bundle.paths import MANIFEST as MANIFEST
from x3ddeploy.bundle.paths import PARITY as PARITY
from x3ddeploy.bundle.paths import golden_folder as golden_folder
from x3ddeploy.bundle.store import add_engine as add_engine
from x3ddeploy.bundle.store import add_precision as add_precision
from x3ddeploy.bundle.store import create as create
from x3ddeploy.bundle.store import derived_files as derived_files
from x3ddeploy.bundle.store import seal as seal
from x3ddeploy.bundle.store import update as update
