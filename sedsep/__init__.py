"""sedsep: spatial semantic segmentation of sound scenes."""

__version__ = "0.1.0"
