"""Techniques that make weights equal."""

from tfcompress.weight_tying.look_up_table import LookUpTable as LookUpTable
