"""Stand-ins of TensorRT and CUDA lie beside the tests of the engines."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "engines"))
