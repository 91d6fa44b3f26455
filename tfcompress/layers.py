"""Layers: what stands in a network beside the layers of Keras."""

from tfcompress.gating.information_bottleneck import InformationBottleneck as InformationBottleneck
