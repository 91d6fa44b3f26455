"""Makes Keras models small while they train: pruning, quantisation, weight tying in one protocol, one ``fit``."""

from tfcompress import (
    callbacks,
    costs,
    edits,
    gradients,
    interop,
    layers,
    presets,
    regularizers,
    schedules,
    targets,
    testing,
)
from tfcompress.calibrate import calibrate
from tfcompress.compress import compress
from tfcompress.compressed import Compressed, deployed
from tfcompress.convolution import toom_cook
from tfcompress.distillation import DerivedModel, QuantizedTargets, TemperedCrossEntropy, quantized_targets
from tfcompress.gating.gate_rates import gate_rates
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
from tfcompress.quantization import LSQ, BayesianBits, DifferentiableBits, MinMax, RelaxedQuantizer, SoftRound
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
    "BayesianBits",
    "Chain",
    "Compressed",
    "ConstantSparsity",
    "DerivedModel",
    "DifferentiableBits",
    "GatePruning",
    "Grid",
    "JointPruneQuantize",
    "LearnedThreshold",
    "LookUpTable",
    "MagnitudePruning",
    "MinMax",
    "PolynomialDecay",
    "QuantizedTargets",
    "RelaxedQuantizer",
    "Report",
    "SignedPerturbation",
    "SoftRound",
    "TemperedCrossEntropy",
    "Transform",
    "__version__",
    "calibrate",
    "callbacks",
    "compress",
    "costs",
    "deployed",
    "edits",
    "gate_deviations",
    "gate_rates",
    "gradients",
    "interop",
    "layers",
    "load_recipe",
    "presets",
    "quantized_targets",
    "regularizers",
    "report",
    "save_recipe",
    "schedules",
    "strip",
    "targets",
    "testing",
    "toom_cook",
]  # fmt: skip
