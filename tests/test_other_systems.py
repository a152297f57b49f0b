"""What of other operating systems can be shown on this one."""

import re
import subprocess
import sys
from pathlib import Path

from support.present import present


def test_every_module_imports_without_what_windows_lacks():
    script = Path(__file__).parent / "support" / "without_posix.py"
    process = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    assert int(present(re.match(r"\d+", process.stdout))[0]) > 150
