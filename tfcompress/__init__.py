"""Makes Keras models small while they train: pruning, quantisation, weight tying in one protocol, one ``fit``."""

from tfcompress import callbacks, edits, gradients, layers, schedules, testing
from tfcompress.calibrate import calibrate
from tfcompress.compress import compress
from tfcompress.compressed import Compressed, deployed
from tfcompress.grid import Grid
from tfcompress.joint import JointPruneQuantize
from tfcompress.pruning import (
    AnalyticThreshold,
    BalancedPruning,
    GatePruning,
    LearnedThreshold,
    MagnitudePruning,
    SignedPerturbation,
)
from tfcompress.pruning.gate_deviations import gate_deviations
from tfcompress.quantization import LSQ, MinMax, RelaxedQuantizer
from tfcompress.recipes import load_recipe, save_recipe
from tfcompress.report import Report, report
from tfcompress.schedules import ConstantSparsity, PolynomialDecay
from tfcompress.strip import strip
from tfcompress.transform import Chain, Transform
from tfcompress.version import __version__
from tfcompress.weight_tying import LookUpTable

__all__ = [
    "LSQ",
    "AnalyticThreshold",
    "BalancedPruning",
    "Chain",
    "Compressed",
    "ConstantSparsity",
    "GatePruning",
    "Grid",
    "JointPruneQuantize",
    "LearnedThreshold",
    "LookUpTable",
    "MagnitudePruning",
    "MinMax",
    "PolynomialDecay",
    "RelaxedQuantizer",
    "Report",
    "SignedPerturbation",
    "Transform",
    "__version__",
    "calibrate",
    "callbacks",
    "compress",
    "deployed",
    "edits",
    "gate_deviations",
    "gradients",
    "layers",
    "load_recipe",
    "report",
    "save_recipe",
    "schedules",
    "strip",
    "testing",
]  # fmt: skip
