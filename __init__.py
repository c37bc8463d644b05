"""Venation: AutoML search for ultra-fine-grained images. Importing it loads nothing heavy."""

__version__ = "0.1.0"
