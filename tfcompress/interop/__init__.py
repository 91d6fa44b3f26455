"""Bridges from other libraries. Each is imported only when it is called: ``import tfcompress`` loads none of them."""

from tfcompress.interop import tfmot as tfmot
