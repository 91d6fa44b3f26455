"""Techniques that make zeros."""

from tfcompress.pruning.magnitude import MagnitudePruning as MagnitudePruning
