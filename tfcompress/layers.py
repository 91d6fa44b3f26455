"""Layers: what stands in a network beside the layers of Keras."""

from tfcompress.convolution.winograd import WinogradConv2D as WinogradConv2D
from tfcompress.gating.channel_gate import ChannelGate as ChannelGate
from tfcompress.gating.information_bottleneck import InformationBottleneck as InformationBottleneck
from tfcompress.normalization.lagrange import LagrangeNormalization as LagrangeNormalization
from tfcompress.normalization.power_of_two import PowerOfTwoBatchNormalization as PowerOfTwoBatchNormalization
