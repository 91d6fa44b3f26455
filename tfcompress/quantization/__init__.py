"""Techniques that round to few levels."""

from tfcompress.quantization.bayesian_bits import BayesianBits as BayesianBits
from tfcompress.quantization.differentiable_bits import DifferentiableBits as DifferentiableBits
from tfcompress.quantization.lsq import LSQ as LSQ
from tfcompress.quantization.minmax import MinMax as MinMax
from tfcompress.quantization.relaxed import RelaxedQuantizer as RelaxedQuantizer
from tfcompress.quantization.soft_round import SoftRound as SoftRound
