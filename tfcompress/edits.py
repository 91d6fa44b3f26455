"""Edits: functions ``model -> model`` that change the structure once. They keep names and weights, and the original."""

from tfcompress.gating.information_bottleneck import insert_bottlenecks as insert_bottlenecks
from tfcompress.structure.remove_channels import remove_channels as remove_channels
