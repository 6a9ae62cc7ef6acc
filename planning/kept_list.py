"""The price list that a run or a market keeps in its folder, so that it is not computed again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..atomic import write_whole
from ..serving.price_list.rows import PriceRow, sealed

if TYPE_CHECKING:
    from ..evaluation.uncertainty import Assessment

KEPT = "price_list.json"
_MARKET = ("scenario.toml", "scenario.npz")
_POLICY = {"run.json": (*_MARKET, "run.json", "policy.safetensors"), "manifest.json": ("manifest.json",)}
_POLICY["manifest.json.enc"] = ("manifest.json.enc",)


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a price list depends on.

    Attributes:
        market: Digest of the files of the market.
        policies: Digests of the policies that may be recommended, beside the best fixed prices.
        draws: Number of posterior draws; None for the usual number.
        risk: What recommended prices are chosen by.
        seed: The user's seed.
        version: Version of repricer.

    Example:
        >>> Origin(market="a", policies=(), draws=None, risk="mean", seed=0, version="1").changed_from(
        ...     Origin(market="b", policies=(), draws=None, risk="mean", seed=1, version="1")
        ... )
        ['market', 'seed']
    """

    market: str
    policies: tuple[str, ...]
    draws: int | None
    risk: str
    seed: int
    version: str

    def changed_from(self, other: Origin) -> list[str]:
        """What differs from another origin, by name."""
        return [name for name in self.__struct_fields__ if getattr(self, name) != getattr(other, name)]


class KeptList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price list with what it was made from.

    Attributes:
        origin: What it was made from.
        verdict: The recommendation in one line.
        past: The plan beside the past, in lines.
        gain: The expected relative gain and its 90% interval; None where no change is recommended.
        recommended: What a manager calls the recommended prices.
        usual_draws: Posterior draws that a list of this market is compared over by default.
        currency: Unit of the money.
        unit: What its periods are called, weeks or days.
        rows: The rows, nothing decided yet.
    """

    origin: Origin
    verdict: str
    past: list[str]
    gain: tuple[float, float, float] | None
    recommended: str
    usual_draws: int
    currency: str
    unit: str
    rows: list[PriceRow]

    @classmethod
    def of(cls, origin: Origin, found: Assessment, rows: list[PriceRow]) -> KeptList:
        """The list of an assessment.

        Args:
            origin: What the assessment was made from.
            rows: The rows of its recommended prices.
        """
        from ..evaluation.uncertainty import past_lines, plan_beside_past
        from ..evaluation.uncertainty.draws import DRAWS

        compared, calendar = found.compared, found.compared.spec.calendar
        assert calendar is not None, "a price list needs a market with dates"
        return cls(
            origin=msgspec.structs.replace(origin, draws=len(compared.draws)),
            verdict=str(found),
            past=past_lines(plan_beside_past(compared.spec), compared.spec.market.currency),
            gain=found.relative_gain,
            recommended=found.recommendation.words,
            usual_draws=min(DRAWS, compared.spec.num_draws),
            currency=compared.spec.market.currency,
            unit=calendar.unit,
            rows=rows,
        )

    def in_zone(self, zone: str) -> list[PriceRow]:
        """The rows, under this name of the stores."""
        return [row if row.zone == zone else sealed(msgspec.structs.replace(row, zone=zone)) for row in self.rows]


def origin_of(market: Path, policies: Iterable[str], *, draws: int | None, risk: str, seed: int) -> Origin:
    """What a price list of a market will be made from.

    Args:
        market: Folder of a market or of a run.
        policies: Run folders, bundles, or names of rules.

    Example:
        >>> origin_of(Path("nowhere"), ["regular"], draws=None, risk="mean", seed=0).policies
        ('regular',)
    """
    digests = tuple(_policy_digest(policy) for policy in policies)
    made = version("repricer")
    return Origin(market=_digest(market, _MARKET), policies=digests, draws=draws, risk=risk, seed=seed, version=made)


def keep(folder: Path, kept: KeptList) -> None:
    """Keep a list in the folder of its run or market, in place of another one; a registered market has no folder."""
    if (folder / _MARKET[0]).is_file():
        write_whole(folder / KEPT, msgspec.json.encode(kept) + b"\n")


def kept_list(folder: Path, origin: Origin) -> tuple[KeptList | None, str]:
    """The list that a folder keeps, if it was made from the same, and a line that says so, or why not.

    Args:
        folder: Folder of a run or a market.
        origin: What the list must have been made from.

    Returns:
        The list, or None where there is none or it is not used; the line, empty where there is none.

    Example:
        >>> made = Origin(market="a", policies=(), draws=None, risk="mean", seed=0, version="1")
        >>> kept_list(Path("nowhere"), made)
        (None, '')
    """
    path = folder / KEPT
    if not path.is_file():
        return None, ""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=KeptList)
    except (msgspec.ValidationError, msgspec.DecodeError, ValueError) as error:
        return None, f"{path} is not used, as it cannot be read ({error})"
    if origin.draws is None:
        origin = msgspec.structs.replace(origin, draws=found.usual_draws)
    changed = origin.changed_from(found.origin)
    if changed:
        return None, f"{path} is not used, as other inputs made it ({', '.join(changed)})"
    if any(row.check != row.checksum for row in found.rows):
        return None, f"{path} is not used, as its rows were edited"
    return found, f"compared before, from the same market, policies, draws and seed: {path}"


def _policy_digest(policy: str) -> str:
    """Of a folder, the digest of what its policy is made of; the name of a rule as it is."""
    for name, files in _POLICY.items():
        if (Path(policy) / name).is_file():
            return _digest(Path(policy), files)
    return policy


def _digest(folder: Path, names: Sequence[str]) -> str:
    found = hashlib.sha256()
    for name in names:
        if (folder / name).is_file():
            content = (folder / name).read_bytes()
            found.update(f"{name} {len(content)} ".encode() + content)
    return found.hexdigest()


def list_line(facts: dict[str, Any], out: Path) -> str:
    """What a price list holds, in one line."""
    moved = f"{facts['raised']:,} prices raised, {facts['lowered']:,} lowered"
    if not facts["raised"] and not facts["lowered"]:
        moved = "all prices stay as planned"
    return (
        f"{facts['rows']:,} rows in {out}: {facts['products']:,} products, {facts['weeks']} {facts['unit']} from {facts['first']} "
        f"to {facts['last']}; {moved}; {facts['outside_charged']:,} prices outside what was mostly charged; expected: revenue "
        f"{facts['revenue']:,.0f}, units {facts['units']:,.0f}, profit {facts['profit']:,.0f}"
    )


def summary(rows: list[PriceRow], unit: str) -> dict[str, Any]:
    """How many rows, products and weeks a price list has, and which way its prices go.

    Args:
        unit: What its periods are called, weeks or days.
    """
    weeks = sorted({row.week for row in rows})
    moves = Counter((row.new_price > row.current_price) - (row.new_price < row.current_price) for row in rows)
    return {
        "rows": len(rows),
        "products": len({row.product for row in rows}),
        "weeks": len(weeks),
        "unit": unit,
        "first": str(weeks[0]),
        "last": str(weeks[-1]),
        **{
            name: sum(getattr(row, f"expected_{name}") or 0.0 for row in rows)
            for name in ("revenue", "units", "profit")
        },
        "raised": moves[1],
        "lowered": moves[-1],
        "outside_charged": sum(bool(row.outside_charged) for row in rows),
    }
