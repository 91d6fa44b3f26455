"""Edits of trained networks that need no training: for what is quantised or pruned behind them."""
