"""What a shop plans for the weeks after its data: prices, promotions and holidays."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..data import DataError, Tables, context_ahead
from ..data.panel.charged import CHARGED_SHARE, as_charged
from ..data.panel.context import PRODUCT_WEEK
from ..data.panel.promotion_kinds import PROMOTION, column_of, kinds_in
from ..data.schema import HOLIDAY
from ..data.weeks import WEEK, YEAR_WEEKS, name_of, period_of, periods_in_a_week
from ..pricing.planned_deals import DEAL
from .promotion_kinds import PromotionKinds

_CENT_ROUNDING = 0.02
_PLANNED_COLUMNS = ("price", "regular_price", "promotion")
_NO_REDUCTION = (
    "The sales hold no price below its regular_price, so no reduction is expected, and each past change of a price counts "
    "as one of the regular price; if there were reductions, import regular_price."
)
_GUESSED = (
    "The sales give no regular_price, so the regular price of each product and store is taken to be the upper envelope of "
    "what was charged in the 13 weeks before and after, and lower prices as deals; if that is wrong, import regular_price."
)
_COLUMN_WORDS = {"promotion": "displays and mailers", "holiday": "holidays"}


def planned_weeks(
    panel: pd.DataFrame, tables: Tables, regular: pd.Series, weeks: int, kinds: PromotionKinds | None = None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows of the weeks after a panel: what is planned, and else the shop's usual pattern.

    The usual pattern is each product at its current regular price, with the reductions, displays
    and mailers of the same weeks a year ago; where the history is shorter, of the last weeks. Where the panel says what most
    stores `charged` and how far they reduced, these count: no mean over stores, which nobody ever charged.
    Holidays are those of the same dates a year ago, or of the same weekday where the date was none
    the year before. Promotions, their discounts, and holidays that the tables already hold for the weeks to come replace
    it, and so does every row of the table `plan`.

    Args:
        panel: The weekly panel of the products, as `product_weeks` returns it.
        regular: Current regular price by product, currency per unit.
        kinds: How the kinds of promotions count in the panel; by default each as it is.

    Returns:
        One row per product and week (`product`, `week`, `price`, `regular_price` and what else of
        `promotion`, its kinds and `holiday` the panel has), and sentences that say where they come from.

    Raises:
        DataError: The plan has no row for these weeks and products.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(n_products=1)
        >>> regular, tables = panel.groupby("product")["regular_price"].last(), Tables(panel.assign(price_paid=panel["price"]))
        >>> rows, notes = planned_weeks(panel, tables, regular, 4)
        >>> len(rows), notes[0][:38]
        (4, 'Current prices of the weeks to come: e')
    """
    period = period_of(panel["week"])
    first = panel["week"].max() + period
    days = pd.date_range(first, periods=weeks, freq=period)
    rows, pattern = _usual(panel, regular, days)
    if "holiday" in rows and tables.signals is not None:
        rows = rows.assign(holiday=rows["week"].map(_holidays(tables.signals, days, period)))
    ahead = context_ahead(
        tables, list(regular.index), first, weeks, period.days, None if kinds is None else kinds.known
    )
    rows, known = _with_known(rows, ahead if kinds is None else kinds.applied(ahead), period)
    unit = name_of(period) + "s"
    usual = f"each product at its regular price{pattern}."
    notes = [f"Current prices of the {unit} to come: {usual}", *known]
    own = tables.sales[tables.sales["product"].isin(regular.index)]
    if (own["regular_price"] <= own["price_paid"] * (1 + 1e-6)).all():
        notes.insert(1, _GUESSED if _reduced(panel) else _NO_REDUCTION)
    if tables.plan is not None and set(_PLANNED_COLUMNS) & set(tables.plan.dropna(axis=1, how="all")):
        rows, line, whole = _with_plan(rows, tables.plan, days, period)
        notes[:1] = [line] if whole else [line, f"What the plan does not say: {usual}"]
    return rows, tuple(notes)


def _usual(panel: pd.DataFrame, regular: pd.Series, days: pd.DatetimeIndex) -> tuple[pd.DataFrame, str]:
    """The usual pattern, and what it repeats of which weeks."""
    past = pd.DatetimeIndex(np.sort(panel["week"].unique()))
    # Whole weeks, so that days repeat those of the same weekday.
    per_week = periods_in_a_week(past)
    last = past[-(min(len(days), len(past)) // per_week * per_week) :]
    a_year_ago = days - YEAR_WEEKS * WEEK
    known = a_year_ago.isin(past)
    source = pd.DataFrame({"week": days, "source": a_year_ago.where(known, last[np.arange(len(days)) % len(last)])})
    rows = (
        pd.MultiIndex.from_product([regular.index, days], names=PRODUCT_WEEK)
        .to_frame(index=False)
        .merge(source, on="week")
    )
    share = (panel["price"] / panel["regular_price"]).clip(upper=1)
    if CHARGED_SHARE in panel:
        share = panel[CHARGED_SHARE].fillna(share)
    panel = panel.assign(share=share)
    kept = [
        "share",
        *(name for name in _COLUMN_WORDS if name in panel),
        *map(column_of, kinds_in(panel)),
    ]
    rows = rows.merge(
        panel[[*PRODUCT_WEEK, *kept]].rename(columns={"week": "source"}), on=["product", "source"], how="left"
    )
    # Before its first sale a product had no price, and no reduction.
    share = rows["share"].fillna(1.0)
    share = share.mask(share >= DEAL, 1.0)
    now = rows["product"].map(regular)
    reduced = as_charged(panel, rows["product"], share * now)
    price = now.where(share == 1, reduced)
    rows = rows.assign(regular_price=now, price=price.where(reduced != share * now, _in_cents(price)))
    rows = rows.drop(columns=["source", "share"])
    words = [word for name, word in _COLUMN_WORDS.items() if name in panel and (name != "holiday" or known.any())]
    named = ["reductions"] * _reduced(panel) + words
    when = _when(int(known.sum()), len(days), len(last), name_of(period_of(past)) + "s")
    return rows, f", with the {', '.join(named)} of the {when}" if named else ""


def _holidays(signals: pd.DataFrame, days: pd.DatetimeIndex, period: pd.Timedelta) -> pd.Series:
    """The number of holidays by week, of the dates a year ago, or of their weekday where the year before shows that they move."""
    own = signals[(signals["name"] == HOLIDAY) & (signals["value"].fillna(1.0) != 0)]
    past = pd.DatetimeIndex(own["date"].dt.normalize().unique())
    year = pd.DateOffset(years=1)
    moves = (past - year >= past.min()) & ~(past - year).isin(past)
    again = pd.DatetimeIndex(np.where(moves, past + YEAR_WEEKS * WEEK, past + year)).unique()
    return pd.Series([((again >= day) & (again < day + period)).sum() for day in days], index=days, dtype=float)


def _in_cents(price: pd.Series) -> pd.Series:
    """Prices in whole cents, as no others can be charged; those that this would move far are of very small units."""
    cents = price.round(2)
    return cents.where((cents - price).abs() <= _CENT_ROUNDING * price, price)


def _reduced(panel: pd.DataFrame) -> bool:
    """Whether any price was below its regular price."""
    return bool((panel["price"] < panel["regular_price"]).any())


def _when(known: int, weeks: int, last: int, unit: str) -> str:
    """Which weeks are repeated, if the sales go back a year for `known` of the weeks."""
    if known == weeks:
        return f"same {unit} a year ago"
    if not known:
        return f"last {last} {unit} (there is less than a year of history)"
    return f"same {unit} a year ago in {known} of {weeks} {unit}, and in the others, before the sales begin, of the last {unit}"


def _with_known(rows: pd.DataFrame, known: pd.DataFrame, period: pd.Timedelta) -> tuple[pd.DataFrame, list[str]]:
    """The rows with the promotions and holidays that the tables hold already, and the notes about them."""
    found = rows[PRODUCT_WEEK].merge(known, on=PRODUCT_WEEK, how="left")
    notes = []
    for name, word in _COLUMN_WORDS.items():
        if name in rows and name in found and found[name].notna().any():
            rows = rows.assign(**{name: found[name].fillna(rows[name])})
            # Beyond, only those that began before are known.
            whole = found["week"][found[name].notna().groupby(found["week"]).transform("all")]
            until = f"until {whole.max() + period - pd.Timedelta(days=1):%Y-%m-%d}" if len(whole) else "that run on"
            notes.append(f"{word.capitalize()} {until} are those that the tables hold already.")
    for name in map(column_of, kinds_in(rows)):
        if name in found:
            rows = rows.assign(**{name: found[name].fillna(rows[name])})
    off = found["discount"].fillna(0.0) if "discount" in found else 0 * rows["price"]
    # A price of 0 is none; what is given away is for a plan to say.
    off = off.where(off < 1, 0.0)
    if (off > 0).any():
        rows = rows.assign(price=_in_cents(rows["regular_price"] * (1 - off)).where(off > 0, rows["price"]))
        notes.append(
            f"Promotions that the tables hold already state a discount for {int((off > 0).sum())} of these prices."
        )
    return rows, notes


def _with_plan(
    rows: pd.DataFrame, plan: pd.DataFrame, days: pd.DatetimeIndex, period: pd.Timedelta
) -> tuple[pd.DataFrame, str, bool]:
    """The rows with the shop's own plan, how much of them it covers, and whether nothing is left open."""
    first = days[0]
    end = days[-1] + period
    inside = plan[plan["date"].between(first, end, inclusive="left") & plan["product"].isin(rows["product"])]
    if inside.empty:
        raise DataError(
            f"plan must hold dates from {first:%Y-%m-%d} to {end - pd.Timedelta(days=1):%Y-%m-%d} for products that are "
            f"priced; got {plan['date'].min():%Y-%m-%d} to {plan['date'].max():%Y-%m-%d}; fix the dates or leave it out"
        )
    inside = inside.assign(week=first + (inside["date"] - first) // period * period)
    given = [name for name in _PLANNED_COLUMNS if name in inside and name in rows]
    planned = inside.groupby(PRODUCT_WEEK)
    stated = rows[PRODUCT_WEEK].merge(planned[given].mean().reset_index(), on=PRODUCT_WEEK, how="left")
    if "regular_price" in stated:
        # What the plan leaves open of a price is how far it is reduced.
        moved = _in_cents(rows["price"] / rows["regular_price"] * stated["regular_price"])
        rows = rows.assign(price=moved.fillna(rows["price"]))
    # Without a regular price, the current one holds.
    whole = all(name in stated and bool(stated[name].notna().all()) for name in ("price", "promotion") if name in rows)
    if PROMOTION in stated:
        rows = rows.assign(**_kinds_as_planned(rows, stated[PROMOTION]))
    rows = rows.assign(**{name: stated[name].fillna(rows[name]) for name in given})
    rows["regular_price"] = rows[["price", "regular_price"]].max(axis=1)
    covered = int(stated["price"].notna().sum()) if "price" in stated else 0
    several = int((planned["price"].max() > planned["price"].min()).sum()) if "price" in stated else 0
    unused = len(plan) - len(inside)
    unit = name_of(period) + "s"
    more = f"; {several} of them {'are means' if several > 1 else 'is the mean'} of several in its rows" * (several > 0)
    other = f"; {unused} of its rows are for other {unit} or products" if unused else ""
    return rows, f"The plan gives {covered} of {len(rows)} current prices of the {unit} to come{more}{other}.", whole


def _kinds_as_planned(rows: pd.DataFrame, planned: pd.Series) -> dict[str, pd.Series]:
    """The columns of kinds at the shares of stores that a plan states, which names no kinds: mixed as the rows mix them, in
    that week or else in all of them.
    """
    columns = list(map(column_of, kinds_in(rows)))
    whole = max(float(rows[PROMOTION].sum()), 1e-9)
    usual = rows[PROMOTION].where(rows[PROMOTION] > 0)
    found = {}
    for name in columns:
        mix = (rows[name] / usual).fillna(min(rows[name].sum() / whole, 1.0))
        found[name] = (mix * planned).clip(upper=1).fillna(rows[name])
    return found
