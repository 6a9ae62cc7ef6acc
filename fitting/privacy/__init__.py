"""Fits under differential privacy: one epsilon for all that is released, and segments whose figures have noise."""

from .budget import Privacy

__all__ = ["Privacy"]
