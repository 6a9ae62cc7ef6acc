"""Sellers that learn against each other: no seller has much to gain from another price where a league ends."""

from __future__ import annotations

import functools
import sys

import numpy as np
from repricer.agents import league
from repricer.evaluation import LeagueVerdict, judge_league, yardstick
from repricer.scenarios import load_scenario

from .checks import check


@functools.cache
def ended(start: str) -> LeagueVerdict:
    """A PPO league on the duopoly of Calvano et al. (2020), from the regular prices of the scenario or from joint monopoly."""
    spec, settings = load_scenario("calvano-duopoly"), {}
    if start == "monopoly":
        own, rival = yardstick(spec).monopoly_price
        spec = spec.with_changes(
            products={"regular_price": np.array([own])}, competitors={"regular_price": np.array([rival])}
        )
        settings = {"base_price": "regular"}
    verdict = judge_league(league(spec, settings=settings))
    print(verdict.audit, file=sys.stderr)
    return verdict


@check("agents", "league on calvano-duopoly, largest gain of a best response", "<=", 0.03, "of Nash profit")
def exploitability() -> float:
    return float(ended("regular").exploitability.max())


@check("agents", "the same, opened at joint-monopoly prices", "<=", 0.03, "of Nash profit")
def exploitability_from_monopoly() -> float:
    return float(ended("monopoly").exploitability.max())
