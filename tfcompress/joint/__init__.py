"""Techniques that prune and quantise at once."""

from tfcompress.joint.prune_quantize import JointPruneQuantize as JointPruneQuantize
