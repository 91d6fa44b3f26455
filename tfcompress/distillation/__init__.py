"""Derived networks: small ones that learn what a base network says, not what labels say."""

from tfcompress.distillation.derived_model import DerivedModel as DerivedModel
from tfcompress.distillation.quantized_targets import QuantizedTargets as QuantizedTargets
from tfcompress.distillation.quantized_targets import quantized_targets as quantized_targets
from tfcompress.distillation.tempered_cross_entropy import TemperedCrossEntropy as TemperedCrossEntropy
