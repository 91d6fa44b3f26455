"""What changes over time but not in every step: annealed hyperparameters and refreshed masks, codebooks and ranges;
and what is to be watched over the epochs: costs, zeros, and thresholds that should move.

Keras calls callbacks once per execution, which is once in eight steps for ``steps_per_execution=8``; those here that
act within an epoch count steps, not calls. Steps are those of the optimizer, so training that is resumed goes on where
it stopped. Hyperparameters are variables: setting one does not compile the training step again.
"""

from tfcompress.callbacks.anneal import Anneal as Anneal
from tfcompress.callbacks.budget import Budget as Budget
from tfcompress.callbacks.log_cost import LogCost as LogCost
from tfcompress.callbacks.refresh import Refresh as Refresh
from tfcompress.callbacks.trail import Trail as Trail
from tfcompress.callbacks.warn_stall import WarnStall as WarnStall
