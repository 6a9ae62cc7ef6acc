"""A bundle for the weeks after newer tables, under the same policy: nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..pricing import NetworkPolicy, PricePath, RecurrentPolicy, row_width
from ..serving.bundle.codec import PolicySetup
from ..serving.bundle.files import (
    POLICY,
    RANGE,
    BundleError,
    check_target,
    is_encrypted,
    read_files,
    read_private_key,
    to_json,
)
from ..serving.bundle.onnx_session import OnnxNetwork
from ..serving.bundle.reading import Bundle, load_bundle
from ..serving.documents import FilePath
from ..serving.exporter.export import (
    check,
    competition,
    market_facts,
    outside_training,
    range_document,
    reasons_to_train,
    setup_of,
    write_bundle,
)
from ..serving.exporter.holding import Holding, price_path

if TYPE_CHECKING:
    from ..data import Tables
    from ..scenarios import MarketSpec

_LEVEL_WEEKS = 4


@dataclass(frozen=True)
class Refreshed:
    """What `refresh` did.

    Attributes:
        bundle: The new bundle.
        spec: The market of its weeks.
        check: The gains of its prices over the best fixed and the current ones.
        before: The same at the export.
        train_again: Why it is time to train again, a sentence each; none where it is not.
        price_response: How each product answers to its price, as in the report of a fit.
        notes: What is less than at the fit, a sentence each.
    """

    bundle: Bundle
    spec: MarketSpec
    check: dict[str, Any] | None
    before: dict[str, Any] | None
    train_again: list[str]
    price_response: list[dict[str, Any]]
    notes: tuple[str, ...] = ()


def refresh(
    path: FilePath,
    tables: Tables,
    *,
    out: FilePath | None = None,
    key: FilePath | None = None,
    public_key: FilePath | None = None,
    weeks: int | None = None,
    seed: int = 0,
    on_step: Callable[[str], None] = lambda _: None,
) -> Refreshed:
    """Take forecasts, price responses and stock from newer tables into a bundle. Needs the `train` extra.

    The market is fitted again as before (see `repricer.fitting.refit`), for the weeks after the tables;
    the network stays, and prices that were not learned are found anew. The old bundle stays in place
    until the new one is complete and verified. An encrypted bundle stays encrypted.

    Args:
        path: The bundle, exported from a run that was trained on a market of `repricer fit`.
        tables: The shop's tables, up to date.
        out: Where to write; by default the bundle is replaced.
        key: PEM file of the private key; by default OUT.key.pem.
        public_key: PEM file of the key that must have signed the bundle.
        weeks: Weeks that the new bundle prices; by default as many as at the fit.
        seed: Seed of the search for the best fixed prices, the test seeds and the golden vectors.
        on_step: Called with the name of each step when it begins.

    Raises:
        BundleError: The bundle cannot be read, trusted or refreshed.
        ValueError: The tables do not hold what the market needs.

    Example:
        >>> refresh("bundle", load_tables("shop")).train_again  # doctest: +SKIP
        []

        A bundle of another market than that of a fit:

        >>> from pandas import DataFrame
        >>> from repricer.data import Tables
        >>> refresh("bundle", Tables(DataFrame()))  # doctest: +SKIP
        Traceback (most recent call last):
        repricer.serving.bundle.files.BundleError: bundle must hold the record of its fit to be refreshed; got none; ...
    """
    from ..fitting import refit

    path = Path(path)
    out = path if out is None else Path(out)
    check_target(out)
    signer = None if key is None else read_private_key(Path(key))
    old = load_bundle(path, public_key=public_key)
    record = old.manifest.get("refit")
    if record is None:
        fix = "export it from a run that was trained on a folder of repricer fit"
        raise BundleError(f"{path} must hold the record of its fit to be refreshed; got none; {fix}")
    structure = _changes(tables, record)
    spec, response, notes, _ = refit(tables, record, weeks=weeks, on_step=on_step)
    on_step("prices of the new weeks")
    holding = Holding.of(old.manifest)
    files = read_files(path)
    setup = _setup(old, holding, spec, seed)
    network = OnnxNetwork(files[POLICY], setup)
    policy = setup.policy(old.policy.name, network)
    on_step("check")
    now = check(spec, policy, seed)
    before = old.manifest.get("check")
    outside = outside_training(spec, policy, old.seen, seed) if holding.learned else {}
    again = structure + reasons_to_train(now, before, outside, learned=holding.learned)
    if not holding.learned:  # a network's range stays that of its training; other prices have nothing to leave
        files[RANGE] = to_json(RANGE, range_document(spec, policy, seed))
    facts = old.manifest | market_facts(spec) | competition(spec, policy, seed)
    facts["created"] = datetime.now(UTC).isoformat(timespec="seconds")
    facts["refreshed"] = {"from": old.digest, "check": now, "train_again": again}
    write_bundle(out, spec, setup, network, files, facts, key=signer, seed=seed, encrypt=is_encrypted(path))
    return Refreshed(load_bundle(out), spec, now, before, again, response, notes)


def _setup(old: Bundle, holding: Holding, spec: MarketSpec, seed: int) -> PolicySetup:
    """The policy around the prices of the new weeks, without its network."""
    policy = _around(old, holding, spec, seed)
    by_rule = policy.base is not None and not isinstance(policy.base, PricePath)
    rule = _base_name(old) if by_rule and holding.learned and not holding.toward_current else None
    setup = setup_of(spec, policy, rule)
    rows = [row_width(one, product_wise=policy.product_wise) for one in (old.catalogue, setup.catalogue)]
    if rows[0] != rows[1] or old.catalogue.segments != setup.catalogue.segments:
        both = zip(rows, (old.catalogue.segments, setup.catalogue.segments), strict=True)
        must, got = (f"{row} features for segments {', '.join(segments)}" for row, segments in both)
        want = f"a refreshed bundle must see what its network was trained on: {must}"
        raise BundleError(f"{want}; got {got}; train again")
    return setup


def _around(old: Bundle, holding: Holding, spec: MarketSpec, seed: int) -> NetworkPolicy | RecurrentPolicy:
    """The old policy around base prices of the new market."""
    from ..agents.base_price import base_of

    if not holding.learned:
        return replace(old.policy, base=price_path(spec, holding, None, seed))
    risk = old.manifest["run"]["settings"].get("risk", "mean")
    base_price, base = base_of(spec, _base_name(old), seed, risk)
    if isinstance(base, PricePath) and not _recommends(old.policy.base):
        base = replace(base, recommendation=None)
    if holding.toward_current:
        own = base if isinstance(base, PricePath) else base_price
        base = price_path(spec, holding, own, seed)
    return replace(old.policy, base_price=base_price, base=base)


def _recommends(base: object) -> bool:
    """Whether a network's scores come on top of a plan's."""
    return isinstance(base, PricePath) and base.recommendation is not None


def _base_name(old: Bundle) -> str:
    return str(old.manifest["run"]["settings"]["base_price"])


def _changes(tables: Tables, record: dict[str, Any]) -> list[str]:
    """Products that came or went since the fit, in the zone that it is of, a sentence each."""
    from ..data.stray_dates import without_stray_dates
    from ..fitting.zones import Zone, zone_tables
    from ..scenarios.fields import listed

    tables = zone_tables(tables, Zone(**record["zone"])) if record.get("zone") else tables
    sales = without_stray_dates(tables.sales)
    priced = pd.DataFrame(record["products"])
    recent = sales[sales["date"] > sales["date"].max() - pd.Timedelta(weeks=_LEVEL_WEEKS)]
    units = recent.groupby("product")["units"].sum()
    name = priced["name"].fillna(priced["product"]) if "name" in priced else priced["product"]
    gone = name[~priced["product"].isin(units.index)].tolist()
    missing = [f"no sales in the last {_LEVEL_WEEKS} weeks: {listed(gone)}"] if gone else []
    if tables.products is None:
        return missing
    first = sales.groupby("product")["date"].min()
    new = first.index[first >= pd.Timestamp(record["first_day"])].intersection(units.index)
    least = priced.assign(units=priced["product"].map(units).fillna(0)).groupby("category")["units"].min()
    others = tables.products[tables.products["product"].isin(new)]
    rivals = others[others["product"].map(units) > others["category"].map(least)]
    came = (rivals["name"].fillna(rivals["product"]) if "name" in rivals else rivals["product"]).tolist()
    return missing + ([f"new products that sell more than some of the priced ones: {listed(came)}"] if came else [])


def refresh_lines(found: Refreshed, out: Path, *, judged: bool = False) -> list[str]:
    """What a refresh did, in lines.

    Args:
        judged: Whether a verdict follows, which alone then says what is gained over the current prices.
    """
    bundle = found.bundle
    calendar = found.spec.calendar
    money = found.spec.market.objective
    span = "" if calendar is None else f" for {calendar.first_day} to {calendar.last_day}"
    lines = [f"written to {out}: {bundle.manifest['holds']['words']}{span}, {bundle.digest[:12]}"]
    compared = {} if judged else {"vs_own": "your current prices"}
    if bundle.manifest["holds"]["prices"] == "learned":
        compared["vs_best_fixed"] = "the best fixed prices"
    if found.check:
        for key, name in compared.items():
            gain = _gain(found.check[key])
            at_export = f"; at the export {_gain(found.before[key])}" if found.before else ""
            over = f"over {found.check['draws']} posterior draws"
            lines.append(f"expected {money} against {name}, {over}: {gain}{at_export}")
    lines += [*found.notes, *(f"time to train again: {why}" for why in found.train_again)]
    return lines if found.train_again else [*lines, "no need to train again"]


def _gain(gain: dict[str, Any]) -> str:
    """A gain in percent where it has a base, else in money."""
    shown, form = (gain["relative"], "{:+.1%}") if gain["relative"] else (gain, "{:+,.2f}")
    mean, low, high = (form.format(value) for value in (shown["mean"], *shown["interval90"]))
    return f"{mean} (90% interval {low} to {high})"
