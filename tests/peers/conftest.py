"""Tests against other people's programs, from the ``peers`` extra; only what is installed is collected."""

import importlib.util
import shutil
import sys
from pathlib import Path

VELA = shutil.which("vela", path=str(Path(sys.executable).parent))

collect_ignore = [] if VELA and importlib.util.find_spec("ethosu") else ["test_vela.py"]
