"""Regularizers: penalties on weights or activations, to be given to layers."""

from tfcompress.gating.batch_shaping import BatchShaping as BatchShaping
