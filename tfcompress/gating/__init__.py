"""Layers that decide which channels are used."""

from tfcompress.gating.information_bottleneck import InformationBottleneck as InformationBottleneck
