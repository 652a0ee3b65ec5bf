"""Likeness: avatars of real people from one RGB-D capture or one photo."""

__version__ = "0.1.0"
