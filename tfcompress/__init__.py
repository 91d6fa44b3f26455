"""Makes Keras models small while they train: pruning, quantisation, weight tying in one protocol, one ``fit``."""

from tfcompress import callbacks, gradients, schedules, testing
from tfcompress.calibrate import calibrate
from tfcompress.compress import compress
from tfcompress.compressed import Compressed, deployed
from tfcompress.grid import Grid
from tfcompress.pruning import MagnitudePruning
from tfcompress.quantization import LSQ, MinMax
from tfcompress.recipes import load_recipe, save_recipe
from tfcompress.report import Report, report
from tfcompress.schedules import ConstantSparsity, PolynomialDecay
from tfcompress.strip import strip
from tfcompress.transform import Chain, Transform
from tfcompress.version import __version__

__all__ = [
    "LSQ",
    "Chain",
    "Compressed",
    "ConstantSparsity",
    "Grid",
    "MagnitudePruning",
    "MinMax",
    "PolynomialDecay",
    "Report",
    "Transform",
    "__version__",
    "calibrate",
    "callbacks",
    "compress",
    "deployed",
    "gradients",
    "load_recipe",
    "report",
    "save_recipe",
    "schedules",
    "strip",
    "testing",
]  # fmt: skip
