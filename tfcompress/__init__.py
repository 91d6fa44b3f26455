"""Makes Keras models small while they train: pruning, quantisation, weight tying in one protocol, one ``fit``."""

from tfcompress.calibrate import calibrate
from tfcompress.compress import compress
from tfcompress.compressed import Compressed, deployed
from tfcompress.grid import Grid
from tfcompress.recipes import load_recipe, save_recipe
from tfcompress.report import Report, report
from tfcompress.strip import strip
from tfcompress.transform import Chain, Transform
from tfcompress.version import __version__

__all__ = [
    "Chain",
    "Compressed",
    "Grid",
    "Report",
    "Transform",
    "__version__",
    "calibrate",
    "compress",
    "deployed",
    "load_recipe",
    "report",
    "save_recipe",
    "strip",
]  # fmt: skip
