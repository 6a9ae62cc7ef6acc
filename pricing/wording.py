"""Words for people, of what explanations and warnings name."""

from __future__ import annotations

import numpy as np

from .features import FIXED_FEATURES, MARKET_FEATURES, MOVING_FEATURES, SEGMENT_FEATURES, UNCERTAINTY_FEATURES

_RULE_WORDS = {"price_ladder": "rounding to the price grid"}
_SHOWN_FROM = 20.0
_LEARNED = {"ppo", "a2c", "recurrent-ppo", "sac", "td3", "tqc", "dqn", "qr-dqn", "deep-pricing", "td3-bc", "cql"}
_FEATURES = MOVING_FEATURES | MARKET_FEATURES | FIXED_FEATURES | SEGMENT_FEATURES | UNCERTAINTY_FEATURES


def rule_words(rule: str) -> str:
    """A price rule's name in words.

    Example:
        >>> rule_words("price_ladder"), rule_words("max_change")
        ('rounding to the price grid', 'max change')
    """
    return _RULE_WORDS.get(rule, rule.replace("_", " "))


def gave_way_words(rule: str, amount: float) -> str:
    """That a rule gave way to stronger ones, and by how much.

    Example:
        >>> gave_way_words("rival_price", 0.2)
        'rival price gave way by 0.2'
    """
    return f"{rule_words(rule)} gave way by {amount:.4g}"


def feature_words(name: str) -> str:
    """A feature's name (`feature_names`) in words.

    Example:
        >>> feature_words("log_loyalty[keen]")
        'the loyalty of the segment (keen)'
    """
    base, _, part = name.partition("[")
    words = _FEATURES.get(base, base.replace("_", " ")).partition(": ")[0]
    return f"{words} ({part.removesuffix(']')})" if part else words


def policy_words(policy: str) -> str:
    """A policy's name in words: a learned one is named by its algorithm and the seed
    of its training.

    Example:
        >>> policy_words("ppo:0"), policy_words("fixed:9")
        ('ppo, training seed 0', 'fixed:9')
    """
    algorithm, _, seed = policy.partition(":")
    return f"{algorithm}, training seed {seed}" if algorithm in _LEARNED and seed.isdigit() else policy


def units_words(units: float) -> str:
    """A number of units with three digits at least, never as a power of ten.

    Example:
        >>> units_words(5221.7), units_words(3.14159)
        ('5,222', '3.14')
    """
    return f"{units:,.0f}" if abs(units) >= 100 else f"{units:,.3g}"


def money_words(value: float, currency: str) -> str:
    """An amount with two decimals, or three digits where it is small.

    Example:
        >>> money_words(1234.5, "EUR"), money_words(0.0123, "EUR")
        ('1,234.50 EUR', '0.0123 EUR')
    """
    return f"{value:,.2f} {currency}" if abs(value) >= 0.1 else f"{value:.3g} {currency}"


def likely_by_sales(chance: float, before: float | None) -> str:
    """How likely it is that prices followed demand, and whether the sales say so.

    They do where they raise the odds to 20 times those before: of shops whose prices do not follow demand, at most 1 in
    20 shows that, as such a factor has a mean of one there (Kass and Raftery 1995; Markov's inequality).

    Args:
        chance: Probability after the sales were seen.
        before: The same before; None where it is not known.

    Example:
        >>> likely_by_sales(0.31, 0.9)
        '31% likely, 90% before the sales, which speak against it'
    """
    odds, prior = (np.inf if p == 1 else p / (1 - p) for p in (chance, before or 0.0))
    if before is None or odds >= _SHOWN_FROM * prior:
        return f"{chance:.0%} likely by the sales"
    against = odds * _SHOWN_FROM <= prior
    return f"{chance:.0%} likely, {before:.0%} before the sales, which {'speak against it' if against else 'leave it open'}"
