"""Techniques that keep feature maps in range."""

from tfcompress.normalization.lagrange import LagrangeNormalization as LagrangeNormalization
from tfcompress.normalization.power_of_two import PowerOfTwoBatchNormalization as PowerOfTwoBatchNormalization
