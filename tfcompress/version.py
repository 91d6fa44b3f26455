"""The version of this distribution; setup.py says the same."""

__version__ = "0.1.0"
