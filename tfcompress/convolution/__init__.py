"""Convolutions computed in another way."""

from tfcompress.convolution import toom_cook as toom_cook
from tfcompress.convolution.winograd import WinogradConv2D as WinogradConv2D
