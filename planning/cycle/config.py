"""The file that `repricer cycle` reads: one declaration gives its checks and the table in the docs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ...privacy.encryption import kept_file
from ...serving.documents import Name, read, toml_table
from ..market_folder import ForecasterName, chosen_parts
from ..shop_files import TABLES

if TYPE_CHECKING:
    from pandas import DataFrame

    from ...data import Tables
    from ...fitting import ShopRules, Zone

Count = Annotated[int, Meta(ge=1, le=10**9, extra={"allowed": "a whole number from 1 on"})]
AtLeastTwo = Annotated[int, Meta(ge=2, extra={"allowed": "a whole number from 2 on"})]
Release = Literal["counts", "figures", "units", "network"]
"""What a private fit publishes, each at a share of its cost."""
_WIDENING = 0.2


class CycleError(ValueError):
    """A cycle that cannot be run; the message is one line."""


class _Section(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    pass


_Files = msgspec.defstruct(
    "_Files",
    [(name, Annotated[str | None, Meta(description=f"file with {content}")], None) for name, content in TABLES.items()],
    bases=(_Section,),
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
)


class TablesSection(_Files, frozen=True):
    """Where the shop's tables are: files, or a folder of `repricer data import`. Paths are relative to the file."""

    mapping: Annotated[str | None, Meta(description="TOML file that declares how the files are laid out")] = None
    key_file: Annotated[
        str | None, Meta(description="secret of the pseudonyms; by default tables.key in the folder of the results")
    ] = None
    dataset: Annotated[str | None, Meta(description="folder made by `repricer data import`, instead of files")] = None
    example: Annotated[
        Literal["complete-journey"] | None, Meta(description="the example data set, instead of files")
    ] = None
    encrypt: Annotated[
        bool, Meta(description="whether the imported tables and the bundles are encrypted, see [privacy](privacy.md)")
    ] = False


class FitSection(_Section, frozen=True):
    """How a market is fitted: the options of `repricer fit`, and the section `[fit]` of a cycle."""

    rules: Annotated[
        str | None,
        Meta(description="TOML file of the shop's own rules, by product, category or for all, see [rules](rules.md)"),
    ] = None
    period: Annotated[
        Literal["week", "day"],
        Meta(description="how long a price stays; day needs sales of each day, and knows the weekdays"),
    ] = "week"
    weeks: Annotated[Count | None, Meta(description="weeks of the market, after the data; by default 12, by day 4")] = (
        None
    )
    holdout: Annotated[
        Count | None, Meta(description="last weeks of the data, held out as a proof; by default 12, by day 4")
    ] = None
    categories: Annotated[Count, Meta(description="categories to price")] = 5
    per_category: Annotated[AtLeastTwo, Meta(description="products in each")] = 6
    at_once: Annotated[
        AtLeastTwo | None,
        Meta(
            description="products of one market; of more, whole categories become parts, each a market in a folder of its "
            "own, see [a whole catalogue](scale.md#a-whole-catalogue); by default 1000, by day 140"
        ),
    ] = None
    forecaster: Annotated[
        ForecasterName, Meta(description="one model for all products; selected: the best for each, by backtest")
    ] = "selected"
    promotions: Annotated[
        bool, Meta(description="make displays and mailers a decision of the policy; the tables must record them")
    ] = False
    objective: Annotated[
        Literal["revenue", "profit"] | None,
        Meta(description="what prices maximise; by default profit where the tables give every unit cost, else revenue"),
    ] = None
    widen: Annotated[
        Annotated[float, Meta(ge=0, le=1e6)] | Literal["free"] | None,
        Meta(
            description="how far prices may leave the range that was mostly charged, as a fraction, by default 0.2; free: as "
            "far as half and 1.3 times the regular price"
        ),
    ] = None
    priors: Annotated[
        str | None,
        Meta(
            description="TOML file of what is assumed about demand before the sales are seen, see "
            "[priors](can_i_believe_it.md)"
        ),
    ] = None
    draws: Annotated[int, Meta(ge=2, le=10_000, description="posterior draws")] = 200
    by: Annotated[
        Literal["chain", "zone", "store"],
        Meta(
            description="stores of one market: all; those whose regular prices agree, which share their response to prices; "
            "or each by itself"
        ),
    ] = "chain"
    currency: Annotated[Name, Meta(description="unit of the money, for display")] = "currency"
    epsilon: Annotated[
        Annotated[float, Meta(gt=0, le=1e6)] | None,
        Meta(
            description="make what is published of segments, and a network's weights, differentially private at this cost of "
            "the budget, see [privacy](privacy_learning.md); by default exact"
        ),
    ] = None
    epsilon_shares: Annotated[
        dict[Release, Annotated[float, Meta(ge=0)]],
        Meta(
            description="what a release has of epsilon, in proportion; by default counts 0.2, figures 0.27, units 0.18, "
            "network 0.35",
            extra={"allowed": "a table of counts, figures, units and network"},
        ),
    ] = {}

    def arguments(self, rules: ShopRules, priors: Path | None) -> dict[str, Any]:
        """What `fit_to_folder` is asked for.

        Args:
            rules: The rules in the file.
            priors: Path of the file of priors.

        Raises:
            ValueError: Rules and settings say the same in two ways, or the priors cannot be read.
        """
        from ...fitting import Assumptions, Priors

        for name, value, rule in (
            ("widen", self.widen, rules.shop.widening),
            ("objective", self.objective, rules.shop.objective),
        ):
            if value is not None and rule is not None:
                raise ValueError(f"{name} must be given once; got it beside the rules of the shop; remove one")
        names = ("currency", "weeks", "period", "forecaster", "promotions", "objective", "draws")
        widening = _WIDENING if self.widen is None else self.widen
        return {name: getattr(self, name) for name in names} | {
            "holdout_weeks": self.holdout,
            "assumptions": Assumptions.under(rules, price_widening=None if widening == "free" else widening),
            "priors": None if priors is None else Priors.load(priors),
        }

    def parts(self, tables: Tables, rules: ShopRules, zone: Zone | None) -> dict[str, DataFrame]:
        """The products to price, part by part; one without a name is the whole catalogue."""
        size = {"categories": self.categories, "per_category": self.per_category, "at_once": self.at_once}
        return chosen_parts(tables, rules, zone, **size, period=self.period)


class TrainSection(_Section, frozen=True):
    """As the options of `repricer train`."""

    steps: Annotated[Count, Meta(description="rows that the network learns from")] = 300_000
    risk: Annotated[str, Meta(description="mean, or cvar:SHARE")] = "mean"


class EvaluateSection(_Section, frozen=True):
    """As the options of `repricer evaluate`."""

    episodes: Annotated[Count, Meta(description="test markets, one episode each")] = 1000
    draws: Annotated[Count, Meta(description="posterior draws to compare over")] = 200


class ListSection(_Section, frozen=True):
    """The price list."""

    zone: Annotated[Name, Meta(description="name of the stores that the list is for")] = "all stores"


class AccountSection(_Section, frozen=True):
    """A holdout arm, against which the account compares; a column `arm` of the sales is one too."""

    holdout: Annotated[
        tuple[str, ...],
        Meta(
            description="stores that keep the current prices while the others have the list's",
            extra={"allowed": "a list of stores"},
        ),
    ] = ()
    log: Annotated[
        str | None, Meta(description="decision log (file or URL), whose markets are the stores of the sales")
    ] = None


class ShopSection(_Section, frozen=True):
    """The keys outside any table."""

    name: Annotated[Name, Meta(description="name of the shop")]
    out: Annotated[str, Meta(description="folder of the results, one folder per cycle in it")] = "cycles"
    seed: Annotated[
        int, Meta(ge=0, le=2**31, description="seed of all random draws", extra={"allowed": "a whole number from 0 on"})
    ] = 0


@dataclass(frozen=True)
class Config:
    """All that a cycle needs to know, section by section."""

    shop: ShopSection
    tables: TablesSection
    fit: FitSection
    train: TrainSection
    evaluate: EvaluateSection
    price_list: ListSection
    account: AccountSection

    @classmethod
    def of(cls, table: dict[str, Any], path: Path) -> Config:
        """Check a table as TOML gives it; errors name `path`."""
        parts = {
            "tables": TablesSection,
            "fit": FitSection,
            "train": TrainSection,
            "evaluate": EvaluateSection,
            "price_list": ListSection,
            "account": AccountSection,
        }
        shop = {key: value for key, value in table.items() if key not in parts}
        read_parts = {key: read(kind, table.get(key, {}), f"{path} [{key}]", CycleError) for key, kind in parts.items()}
        return cls(read(ShopSection, shop, str(path), CycleError), **read_parts)  # pyright: ignore[reportArgumentType]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {key: msgspec.to_builtins(part) for key, part in vars(self).items()}


class Cycle:
    """A configuration with its paths.

    Raises:
        CycleError: The file cannot be read, a key or value is not allowed, or a file that it names is missing.
    """

    def __init__(self, path: Path) -> None:
        self.config = Config.of(toml_table(path, CycleError), path)
        self._base = path.parent
        self.out = self._base / self.config.shop.out
        self._check(path)
        self._check_settings(path)

    def file(self, name: str | None) -> Path | None:
        """A path that the file names, relative to it."""
        return None if name is None else self._base / name

    @property
    def files(self) -> dict[str, Path]:
        """The files of the shop's tables, by table."""
        given = {name: self.file(getattr(self.config.tables, name)) for name in TABLES}
        return {name: path for name, path in given.items() if path is not None}

    @property
    def budget(self) -> Path:
        """The folder beside which the privacy budget is: all cycles have one, as their customers are the same."""
        return self.file(self.config.tables.dataset) or self.out

    @property
    def log(self) -> str:
        """The place of the decision log."""
        name = str(self.config.account.log)
        return name if "://" in name else str(self._base / name)

    def fingerprint(self) -> str:
        """Hash of the configuration and of every file that it reads."""
        digest = hashlib.sha256(json.dumps(self.config.to_dict(), sort_keys=True).encode())
        for path in self._inputs():
            for part in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
                with part.open("rb") as file:
                    digest.update(part.name.encode() + hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def settings(self) -> str:
        """Hash of what a policy depends on beside the tables: with other settings it is trained again."""
        kept = {key: self.config.to_dict()[key] for key in ("shop", "fit", "train")}
        digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode())
        for path in map(self.file, (self.config.fit.rules, self.config.fit.priors)):
            digest.update(b"" if path is None else path.read_bytes())
        return digest.hexdigest()

    def _inputs(self) -> list[Path]:
        tables, fit = self.config.tables, self.config.fit
        named = [self.file(name) for name in (tables.mapping, tables.dataset, fit.rules, fit.priors)]
        return [*self.files.values(), *(path for path in named if path is not None)]

    def _check(self, path: Path) -> None:
        tables = self.config.tables
        given = [bool(self.files), tables.dataset is not None, tables.example is not None]
        if sum(given) != 1 or (given[0] and not {"sales", "products"} <= self.files.keys()):
            raise CycleError(
                f"{path}: [tables] must name sales, products and other files, or dataset, or example; got {self._got()}; "
                "add what is missing, or leave one out"
            )
        unread = {"mapping": not given[0], "key_file": given[1]}
        for name in (name for name, unused in unread.items() if unused and getattr(tables, name) is not None):
            raise CycleError(f"{path}: [tables] {name} is for files; got it beside {self._got()}; leave it out")
        if self.out.exists() and not self.out.is_dir():
            raise CycleError(f"{path}: out must be a folder; got {self.out}, which is a file; name another")
        for one in self._inputs():
            if not one.exists():
                raise CycleError(
                    f"{path} must name files that exist; got {one}, which is not there; write it or fix the path"
                )
        dataset = self.file(tables.dataset)
        if dataset and kept_file(dataset, "sales.parquet") and not kept_file(dataset, "products.parquet"):
            raise CycleError(
                f"{path}: [tables] dataset must hold a product table; got {dataset} without one; "
                "import it with --products"
            )

    def _check_settings(self, path: Path) -> None:
        """What would otherwise fail after minutes of work."""
        from ...evaluation.uncertainty.recommendation import tail_of
        from ...fitting import Priors, ShopRules
        from ...fitting.split import check_period

        fit = self.config.fit
        check_period(fit.period, zones=fit.by != "chain")
        for section, key in (("price_list", "zone"), ("tables", "plan")):
            if fit.by != "chain" and getattr(getattr(self.config, section), key) not in (ListSection().zone, None):
                raise CycleError(
                    f'{path} [{section}]: {key} is for all stores; got it beside by = "{fit.by}"; leave one of them out'
                )
        asked = self.config.account
        if asked.holdout and asked.log:
            raise CycleError(
                f"{path} [account]: the arm must be given by holdout or log; got both; leave one of them out"
            )
        if asked.log and "://" not in asked.log and not Path(self.log).is_file():
            raise CycleError(
                f"{path} [account]: log must be a decision log; got {self.log}, which is no file; fix the path"
            )
        tail_of(self.config.train.risk)
        ShopRules.load(self.file(fit.rules))
        if fit.priors is not None:
            Priors.load(self._base / fit.priors)

    def _got(self) -> str:
        named: dict[str, Any] = msgspec.to_builtins(self.config.tables)
        return ", ".join(name for name, value in named.items() if value) or "none of them"
