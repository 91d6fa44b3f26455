"""Edits: functions ``model -> model`` that change the structure once. They keep names and weights, and the original."""

from tfcompress.gating.channel_gate import insert_channel_gates as insert_channel_gates
from tfcompress.gating.gate_rates import settle_gates as settle_gates
from tfcompress.gating.information_bottleneck import insert_bottlenecks as insert_bottlenecks
from tfcompress.least_squares.introduce_layer import introduce_layer as introduce_layer
from tfcompress.least_squares.narrow import narrow as narrow
from tfcompress.least_squares.pool_flattened import pool_flattened as pool_flattened
from tfcompress.post_training.correct_bias import correct_bias as correct_bias
from tfcompress.post_training.shift_and_scale import shift_and_scale as shift_and_scale
from tfcompress.structure.multiplierless import multiplierless as multiplierless
from tfcompress.structure.remove_channels import remove_channels as remove_channels
