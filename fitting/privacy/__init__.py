"""Fits under differential privacy: one epsilon for all that is released, and segments whose figures have noise."""

from .budget import Privacy
from .customers import private_customers

__all__ = ["Privacy", "private_customers"]
