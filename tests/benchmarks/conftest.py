"""Stand-ins of TensorRT and CUDA lie beside the tests of the engines, small networks beside those of the families."""

import sys
from pathlib import Path

for name in ("engines", "families"):
    sys.path.insert(0, str(Path(__file__).parent.parent / name))
