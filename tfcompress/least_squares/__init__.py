"""Layers that are introduced into trained networks, and the least squares that they start from."""
