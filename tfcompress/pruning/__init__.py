"""Techniques that make zeros."""

from tfcompress.pruning.analytic_threshold import AnalyticThreshold as AnalyticThreshold
from tfcompress.pruning.balanced import BalancedPruning as BalancedPruning
from tfcompress.pruning.gates import GatePruning as GatePruning
from tfcompress.pruning.learned_threshold import LearnedThreshold as LearnedThreshold
from tfcompress.pruning.magnitude import MagnitudePruning as MagnitudePruning
from tfcompress.pruning.signed_perturbation import SignedPerturbation as SignedPerturbation
