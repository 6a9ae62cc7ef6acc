"""Paths that have rules of their own."""

from __future__ import annotations

PRICES = "/v1/prices"
OUTCOMES = "/v1/outcomes"
ADMIN = "/v1/admin/"
LISTS = "/v1/admin/price-list/"
OPEN_PATHS = ("/healthz", "/readyz")
"""Those that need neither a key nor a known Host: a load balancer asks them."""
