"""A smaller policy in the place of a learned one, with what it keeps of the gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..bundle.files import BundleError

if TYPE_CHECKING:
    from ...agents import Run
    from ...pricing import Policy

LEAST = 0.95
"""Share of the gain that a smaller policy must keep."""
EPISODES = 256
"""The fewest test episodes that judge it."""
_PRECISE = 0.0025
"""Standard error of that share from which on no more episodes are played."""
_MOST_PRICES_ASKED = 10_000_000
"""The most prices asked of a policy for it."""
# A gain below so many of its standard errors is no gain of which a share could be kept.
_CLEAR = 3.0


@dataclass(frozen=True)
class Compression:
    """A smaller policy.

    Attributes:
        run: The run with the smaller network, to export; `run.facts["compression"]`, which the
            bundle's manifest repeats, says what it keeps.
        rules: The text of a tree; None for a network.
    """

    run: Run
    rules: str | None

    @property
    def facts(self) -> dict[str, Any]:
        """Method, parameters and money, before and after."""
        return self.run.facts["compression"]

    @property
    def words(self) -> str:
        """What was kept, in one line."""
        facts = self.facts
        size = self.facts["parameters"]
        kept = f"{facts['kept']:.1%} of {facts['kept_of']} on {facts['episodes']} test episodes"
        return f"{facts['method']}: {size['after']:,} parameters instead of {size['before']:,}; keeps {kept}"


def compress(
    run: Run,
    method: str = "small",
    *,
    size: float = 0.1,
    leaves: int = 16,
    least: float = LEAST,
    episodes: int = EPISODES,
    seed: int = 0,
    on_round: Callable[[int, int], None] = lambda *_: None,
    **effort: int,
) -> Compression:
    """Put a smaller policy in the place of a learned one, and measure what it loses.

    Args:
        method: `small`, `tree` or `prune`, see `repricer.agents.compression.compressed`.
        size: Largest number of parameters, as a share of the network's; not for a tree.
        leaves: Most leaves of a tree.
        least: Share of the gain over the best fixed prices that must be kept; of the money earned,
            where the learned policy has no clear gain.
        episodes: Test episodes that judge it, at least; see `kept`.
        seed: Seed of the student, and of the test customers.
        on_round: Called with the number of rounds done and the number of all.
        **effort: `rows` and `rounds` of `compressed`.

    Raises:
        BundleError: Less than `least` is kept.
        ValueError: The method does not exist or does not fit the network.

    Example:
        >>> compress(run, "tree", least=-9, rows=500, rounds=1).facts["method"]
        'tree'
    """
    from ...agents.compression import compressed, parameters

    student, rules = compressed(run, method, size=size, leaves=leaves, seed=seed, on_round=on_round, **effort)
    facts = {"method": method, "least": least, **kept(run, student.policy, episodes, seed)}
    facts["parameters"] = {"before": parameters(run.actor), "after": parameters(student.actor)}
    if facts["kept"] < least:
        fix = f"allow it a larger {'number of leaves' if method == 'tree' else 'size'}, or less with --least-kept"
        must = f"a {method} policy must keep {least:.0%} of {facts['kept_of']}"
        raise BundleError(f"{must}; got {facts['kept']:.1%}; {fix}")
    more = {"weights": facts["parameters"]["after"], "compression": facts}
    return Compression(replace(student, facts=student.facts | more), rules)


def kept(run: Run, policy: Policy, episodes: int = EPISODES, seed: int = 0) -> dict[str, Any]:
    """What another policy keeps of a run's gain: the share, its standard error, the money, and the episodes judged.

    Expected money of the market in which prices are learned, on the same test customers. A small gain
    is lost in noise: four times as many episodes are played until the share is known to a quarter
    of a percent.

    Args:
        episodes: Number of test episodes to begin with.
        seed: Selects the test seeds.
    """
    from ...agents import best_fixed
    from ...envs import rollout, seed_for

    three = (best_fixed(run.spec, seed=seed), run.policy, policy)
    prices = run.spec.market.horizon_periods * run.spec.sizes["N"]
    while True:
        asked: Any = {"episodes": episodes, "seed": seed_for("test", seed), "expected": True, "assumed": run.spec}
        fixed, before, after = (rollout(run.goal, each, **asked).objective for each in three)
        gain = before - fixed
        root = episodes**0.5
        clear = gain.mean() > _CLEAR * gain.std() / root
        whole = float((gain if clear else before).mean())
        error = float((after - before).std() / root) / abs(whole)
        if error <= _PRECISE or 4 * episodes * prices > _MOST_PRICES_ASKED:
            break
        episodes *= 4
    money = {name: float(part.mean()) for name, part in {"best_fixed": fixed, "before": before, "after": after}.items()}
    share = {"kept": 1 + float((after - before).mean()) / whole, "kept_se": error, "episodes": episodes}
    share["kept_of"] = "the gain over the best fixed prices" if clear else "the money earned"
    return share | {"money_kept": money["after"] / money["before"], "money": money}
