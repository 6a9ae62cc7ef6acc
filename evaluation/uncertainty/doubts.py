"""What makes a recommendation doubtful, and what would settle it, in a pricing manager's words."""

from __future__ import annotations

import math

from ...scenarios import MarketSpec
from ...scenarios.sections import HistorySection
from .gain import Z90
from .past import plan_beside_past, unlike_past

_LARGE, _FEW_MOVES = 0.2, 20
_TRIAL = "try the list in a few stores against others that keep their prices"


def missed(history: HistorySection) -> bool:
    """Whether the last account lay outside its 90% interval.

    Example:
        >>> missed(HistorySection(price=1.0, account_error=0.46, account_spread=0.14))
        True
    """
    return history.account_error is not None and abs(history.account_error) > Z90 * history.account_spread


def doubts(spec: MarketSpec, gain: float | None, *, regular: bool = True) -> list[tuple[str, str]]:
    """What makes a recommendation doubtful, the plan first, each with what would settle it.

    Args:
        spec: A fitted market.
        gain: The expected relative gain; None where no change is recommended.
        regular: Whether lasting prices change, and not deals alone.

    Example:
        >>> from repricer import load_scenario
        >>> doubts(load_scenario("stationary-logit"), 0.25)[0][0]
        'a gain above 20% is to be tested before it is relied on'
    """
    found, history = [], spec.history
    unlike = unlike_past(plan_beside_past(spec))
    if unlike:
        found.append((unlike, "give the deals and prices that you intend as a plan"))
    if history is not None and missed(history):
        off = math.expm1(history.account_error or 0.0)
        what = f"the last account missed: revenue was {off:+.0%} from what was predicted, outside its 90% interval"
        found.append((what, "train again, and wait for an account inside its interval"))
    if gain is None:
        return found
    moves = None if history is None else history.regular_moves
    if regular and moves is not None and moves < _FEW_MOVES:
        often = "never moved" if not moves else f"moved only {moves} time{'s' * (moves > 1)}"
        what = f"your regular prices {often} in these sales, so that what a lasting change does is mostly assumed"
        found.append((what, "change regular prices in some stores for eight weeks"))
    if gain > _LARGE:
        found.append((f"a gain above {_LARGE:.0%} is to be tested before it is relied on", _TRIAL))
    return found
