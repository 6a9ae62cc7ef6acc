"""What a price list opens with, in a JSON file beside it: verdict, gain, prices at a bound, the plan beside the past, and
what the whole list changes for each product.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from ...atomic import write_whole
from .rows import ListError, PriceRow


class PosteriorEstimate(Struct, frozen=True):
    """An expected value and both ends of its 90% interval over the posterior draws.

    Example:
        >>> PosteriorEstimate(0.03, 0.01, 0.05).as_share()
        '+3.0% (90% interval +1.0% to +5.0%)'
    """

    mean: float
    low: float
    high: float

    def as_share(self) -> str:
        """In words, where it is a share."""
        return f"{self.mean:+.1%} (90% interval {self.low:+.1%} to {self.high:+.1%})"


class PastRow(Struct, frozen=True):
    """The plan, or weeks of the past beside it, as `evaluation.uncertainty.plan_beside_past` gives them.

    Attributes:
        weeks: Which weeks, in words.
        units: Units sold.
        revenue: Revenue, currency.
        profit: Profit, currency.
        average_price: Revenue per unit, currency.
        on_deal: Share of product-weeks on deal.
        vat: Of the plan, the highest VAT that its prices hold, and this money does not; None without.
    """

    weeks: str
    units: float
    revenue: float
    profit: float
    average_price: float
    on_deal: float
    vat: float | None = None


class ZoneSummary(Struct, frozen=True, kw_only=True):
    """What the list of one market opens with.

    Attributes:
        zone: The stores; of a catalogue in parts, with the name of the part.
        verdict: Which prices are recommended, and what they are expected to earn.
        metric: What the gain is of: revenue or profit.
        gain: Relative gain over the current prices, a fraction; None where no change is recommended.
        amount: The same in currency, over the weeks of the list.
        changed: Number of prices, by product and week, that differ from the current ones.
        at_bound: Number of them at the end of what price rules other than the step allow, as the verdict counts them.
        bounds: How many stand at each rule, by the rule in words; a price may stand at several.
        past: The plan, then the past; none where the market does not know its past.
    """

    zone: str
    verdict: str
    metric: str
    gain: PosteriorEstimate | None = None
    amount: PosteriorEstimate | None = None
    changed: int = 0
    at_bound: int = 0
    bounds: dict[str, int] = {}
    past: tuple[PastRow, ...] = ()

    def sentences(self, currency: str) -> list[str]:
        """Verdict, gain and bounds, as workbook and page open with them.

        Example:
            >>> ZoneSummary(zone="all stores", verdict="Keep your prices.", metric="profit").sentences("EUR")
            ['Keep your prices.', 'No price changes.']
        """
        found = [self.verdict]
        parts = list[str]()
        if self.gain is not None:
            parts.append(self.gain.as_share())
        if self.amount is not None:
            parts.append("{:+,.0f} {} (90% interval {:+,.0f} to {:+,.0f})".format(*_with_unit(self.amount, currency)))
        if parts:
            found.append(f"Expected {self.metric} against the current prices: {', '.join(parts)}.")
        if not self.changed:
            return [*found, "No price changes."]
        each = ", ".join(f"{count:,} at {rule}" for rule, count in self.bounds.items())
        bound = f"{self.at_bound:,} of {self.changed:,} changed prices stand at a bound"
        return [*found, f"{bound}: {each}." if each else f"{bound}."]


def _with_unit(amount: PosteriorEstimate, currency: str) -> tuple[float, str, float, float]:
    return amount.mean, currency, amount.low, amount.high


class ProductSummary(Struct, frozen=True, kw_only=True):
    """What the list changes for one product, over all its weeks.

    Attributes:
        zone: The stores.
        product_id: The product's id in the shop's tables.
        regular_price: Its regular price, currency per unit.
        planned_deals: First days of the weeks in which the shop plans a deal.
        units: Change of its units against the current prices of all products.
        revenue: The same of its revenue, currency.
        profit: The same of its profit, currency.
        cost_of_leaving: What all products together are expected to earn less if this one keeps its current prices, the others
            as proposed; currency, in the objective. None where that is not known.
    """

    zone: str
    product_id: str
    regular_price: float
    planned_deals: tuple[dt.date, ...] = ()
    units: PosteriorEstimate | None = None
    revenue: PosteriorEstimate | None = None
    profit: PosteriorEstimate | None = None
    cost_of_leaving: PosteriorEstimate | None = None


class ListSummary(Struct, frozen=True, kw_only=True):
    """The summary of a list; a list of an earlier version has none.

    Attributes:
        proposal: Names the rows as they were proposed, as `proposal_of` does.
        currency: Unit of money.
        objective: What prices are chosen by: revenue or profit.
        zones: By market.
        products: By product.
        together: Relative gain of all zones together; None for one market, or where it is not known.

    Example:
        >>> ListSummary(proposal=proposal_of([]), currency="EUR", objective="profit").zones
        ()
    """

    proposal: str
    currency: str
    objective: str
    zones: tuple[ZoneSummary, ...] = ()
    products: tuple[ProductSummary, ...] = ()
    together: PosteriorEstimate | None = None


def together_line(gain: PosteriorEstimate) -> str:
    """What the lists of all zones gain together, in a line.

    Example:
        >>> together_line(PosteriorEstimate(0.053, 0.031, 0.078))
        'All zones together: +5.3% (90% interval +3.1% to +7.8%)'
    """
    return f"All zones together: {gain.as_share()}"


def proposal_of(rows: Sequence[PriceRow]) -> str:
    """Names the proposal of a list, whatever was decided about it, and in whatever order its rows stand.

    Example:
        >>> len(proposal_of([]))
        24
    """
    checks = "".join(sorted(row.check for row in rows))
    return hashlib.blake2b(checks.encode(), digest_size=12).hexdigest()


def summary_path(path: Path) -> Path:
    """The file beside a price list that holds its summary.

    Example:
        >>> summary_path(Path("lists/prices.xlsx")).name
        'prices.summary.json'
    """
    return path.with_suffix(".summary.json")


def write_summary(path: Path, summary: ListSummary | None) -> None:
    """Write the summary beside a price list, completely or not at all; a list without one has no file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "prices.csv"
        >>> write_summary(path, ListSummary(proposal=proposal_of([]), currency="EUR", objective="profit"))
        >>> read_summary(path, []).currency
        'EUR'
    """
    file = summary_path(path)
    if summary is None:
        file.unlink(missing_ok=True)
    else:
        write_whole(file, msgspec.json.format(msgspec.json.encode(summary), indent=1))


def read_summary(path: Path, rows: Sequence[PriceRow]) -> ListSummary | None:
    """The summary of a price list; None where there is no file of it.

    Args:
        path: The price list.
        rows: Its rows.

    Raises:
        ListError: The file is no summary, or that of other rows.

    Example:
        >>> read_summary(Path("prices.csv"), []) is None
        True
    """
    file = summary_path(path)
    if not file.is_file():
        return None
    must = f"{file.name} must hold the summary of {path.name}"
    fix = "write the list again, or remove the file"
    try:
        found = msgspec.json.decode(file.read_bytes(), type=ListSummary)
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise ListError([f"{must}; got: {error}; {fix}"]) from None
    if found.proposal != proposal_of(rows):
        raise ListError([f"{must}; got that of other rows; {fix}"])
    return found
