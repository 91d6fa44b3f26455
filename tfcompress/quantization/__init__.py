"""Techniques that round to few levels."""

from tfcompress.quantization.lsq import LSQ as LSQ
from tfcompress.quantization.minmax import MinMax as MinMax
from tfcompress.quantization.relaxed import RelaxedQuantizer as RelaxedQuantizer
