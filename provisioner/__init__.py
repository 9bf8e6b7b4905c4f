"""Turns bare GPU machines into hosts that can be benchmarked, and brings back numbers a stranger can believe."""

__version__ = "0.1.0"
