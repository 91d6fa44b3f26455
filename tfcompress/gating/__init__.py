"""Layers that decide which channels are used."""

from tfcompress.gating.channel_gate import ChannelGate as ChannelGate
from tfcompress.gating.information_bottleneck import InformationBottleneck as InformationBottleneck
