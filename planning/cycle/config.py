"""The file that `repricer cycle` reads: one declaration gives its checks and the table in the docs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ...privacy.encryption import kept_file
from ...serving.documents import Name, read, toml_table
from ..market_folder import ForecasterName
from ..shop_files import TABLES

if TYPE_CHECKING:
    from pandas import DataFrame

    from ...data import Tables
    from ...fitting import ShopRules, Zone

Count = Annotated[int, Meta(ge=1, le=10**9, extra={"allowed": "a whole number from 1 on"})]
AtLeastTwo = Annotated[int, Meta(ge=2, extra={"allowed": "a whole number from 2 on"})]
Release = Literal["counts", "figures", "units", "network"]
"""What a private fit publishes, each at a share of its cost."""
_FROM_0 = {"allowed": "a whole number from 0 on"}
_STORES_MEANING = {"allowed": "a list of stores"}
_FOLDERS = {"allowed": "a list of folders"}


_MODELLED = "share of a category's revenue in the market: what is not priced keeps its [planned prices](fitted_market.md) there; 0: priced alone"
_AT_ONCE_MEANING = "products in a market, see [parts](scale.md#a-whole-catalogue); by default 1000, by day 140"
_VAT = (
    "value added tax in all prices, a share of the price without it, such as 0.19; by default the column vat of the product "
    "table, else none"
)
_FORECASTER = "one model for all products; selected: the best for each, by backtest"
_OBJECTIVE = (
    "what prices maximise; by default profit where the tables give every unit cost and none is doubtful, else revenue"
)
_WIDEN = (
    "how far prices may leave the range mostly charged, beyond steps of 5% from the plan; free: 0.5 to 1.3 times the regular "
    "price; by default neither range nor steps are left"
)
_BY = "stores of one market: all; those whose regular prices agree; or each by itself"
_COSTS = "whether report and page show what each price rule costs; `repricer rules cost` finds it later, too"
_EPSILON = "cost of [privacy](privacy.md#differential-privacy) of segments and networks; by default they are exact"
_SHARES_MEANING = "shares of epsilon; by default counts 0.2, figures 0.27, units 0.18, network 0.35"
_TESTED = "folders of price experiments, whose weeks are among the sales"
_RELEASES = "a table of counts, figures, units and network"


class CycleError(ValueError):
    """A cycle that cannot be run; the message is one line."""


class _Section(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    pass


_FILES = [(name, Annotated[str | None, Meta(description=f"file with {rows}")], None) for name, rows in TABLES.items()]
_Files = msgspec.defstruct("_Files", _FILES, bases=(_Section,), kw_only=True)


class TablesSection(_Files, frozen=True):
    """Where the shop's tables are: files, or a folder of `repricer data import`. Paths are relative to the file."""

    mapping: Annotated[str | None, Meta(description="TOML file that declares how the files are laid out")] = None
    key_file: Annotated[str | None, Meta(description="secret of the pseudonyms; by default tables.key in out")] = None
    dataset: Annotated[str | None, Meta(description="folder made by `repricer data import`, instead of files")] = None
    example: Annotated[Literal["complete-journey"] | None, Meta(description="example data, instead of files")] = None
    encrypt: Annotated[bool, Meta(description="whether tables and bundles are [encrypted](privacy.md)")] = False


class FitSection(_Section, frozen=True):
    """How a market is fitted: the options of `repricer fit`, and the section `[fit]` of a cycle."""

    rules: Annotated[str | None, Meta(description="TOML file of the shop's own [rules](rules.md)")] = None
    period: Annotated[Literal["week", "day"], Meta(description="period of a price; day needs daily sales")] = "week"
    weeks: Annotated[Count | None, Meta(description="weeks to price, after the data; by default 12, by day 4")] = None
    holdout: Annotated[Count | None, Meta(description="last weeks, held out as proof; by default 12, by day 4")] = None
    categories: Annotated[Count, Meta(description="categories to price")] = 5
    per_category: Annotated[AtLeastTwo, Meta(description="products in each")] = 6
    modelled: Annotated[float, Meta(ge=0, le=1, description=_MODELLED)] = 0.95
    at_once: Annotated[AtLeastTwo | None, Meta(description=_AT_ONCE_MEANING)] = None
    forecaster: Annotated[ForecasterName, Meta(description=_FORECASTER)] = "selected"
    promotions: Annotated[bool, Meta(description="decide on displays and mailers, which tables must record")] = False
    objective: Annotated[Literal["revenue", "profit"] | None, Meta(description=_OBJECTIVE)] = None
    vat: Annotated[
        Annotated[float, Meta(ge=0, lt=1, extra={"fix": "write 19% as 0.19"})] | None, Meta(description=_VAT)
    ] = None
    widen: Annotated[Annotated[float, Meta(ge=0, le=1e6)] | Literal["free"] | None, Meta(description=_WIDEN)] = None
    priors: Annotated[str | None, Meta(description="TOML file of [priors](can_i_believe_it.md) for the fit")] = None
    draws: Annotated[int, Meta(ge=2, le=10_000, description="posterior draws")] = 200
    by: Annotated[Literal["chain", "zone", "store"], Meta(description=_BY)] = "chain"
    currency: Annotated[Name, Meta(description="unit of the money, for display")] = "currency"
    experiments: Annotated[tuple[str, ...], Meta(description=_TESTED, extra=_FOLDERS)] = ()
    epsilon: Annotated[Annotated[float, Meta(gt=0, le=1e6)] | None, Meta(description=_EPSILON)] = None
    epsilon_shares: Annotated[
        dict[Release, Annotated[float, Meta(ge=0)]], Meta(description=_SHARES_MEANING, extra={"allowed": _RELEASES})
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

        for name, rule in {"widen": rules.shop.widening, "objective": rules.shop.objective}.items():
            if rule is not None and getattr(self, name) is not None:
                raise ValueError(f"{name} must be given once; got it beside the rules of the shop; remove one")
        names = ("currency", "weeks", "period", "forecaster", "promotions", "objective", "draws")
        own = {"holdout_weeks": self.holdout, "priors": None if priors is None else Priors.load(priors)}
        asked = {} if self.widen is None else {"price_widening": None if self.widen == "free" else self.widen}
        # Whoever asks for more than what was charged asks for more than a small step, unless a rule names one.
        steps = {} if self.widen is None else {"max_step": None}
        own["assumptions"] = Assumptions.under(rules, vat=self.vat, **asked, **steps)
        return {name: getattr(self, name) for name in names} | own

    def parts(self, tables: Tables, rules: ShopRules, zone: Zone | None) -> dict[str, DataFrame]:
        """The products of each part's market; one without a name is the whole catalogue."""
        from ...fitting import catalogue_parts, market_products
        from ...fitting.catalogue_parts import MOST_PRODUCTS

        categories = max(self.categories, len(rules.shop.categories))
        products = market_products(
            tables,
            rules,
            zone,
            modelled=self.modelled,
            holdout_weeks=self.holdout,
            period=self.period,
            n_categories=categories,
            per_category=self.per_category,
        )
        return catalogue_parts(products, self.at_once or MOST_PRODUCTS[self.period], rules.links_by_name)


class TrainSection(_Section, frozen=True):
    """As the options of `repricer train`."""

    steps: Annotated[Count, Meta(description="rows that the network learns from")] = 300_000
    risk: Annotated[str, Meta(description="mean, or cvar:SHARE")] = "mean"


class EvaluateSection(_Section, frozen=True):
    """As the options of `repricer evaluate`."""

    episodes: Annotated[Count, Meta(description="test markets, one episode each")] = 1000
    draws: Annotated[Count, Meta(description="posterior draws to compare over")] = 200
    rule_costs: Annotated[bool, Meta(description=_COSTS)] = False


class AccountSection(_Section, frozen=True):
    """A holdout arm, against which the account compares; a column `arm` of the sales is one too."""

    holdout: Annotated[
        tuple[str, ...], Meta(description="stores that keep the current prices", extra=_STORES_MEANING)
    ] = ()


class Config(_Section, frozen=True):
    """All that a cycle needs to know: the keys outside any table, and the tables."""

    name: Annotated[Name, Meta(description="name of the shop")]
    out: Annotated[str, Meta(description="folder of the results, one folder per cycle in it")] = "cycles"
    seed: Annotated[int, Meta(ge=0, le=2**31, description="seed of all random draws", extra=_FROM_0)] = 0
    tables: TablesSection = TablesSection()
    fit: FitSection = FitSection()
    train: TrainSection = TrainSection()
    evaluate: EvaluateSection = EvaluateSection()
    account: AccountSection = AccountSection()


class Cycle:
    """A configuration with its paths.

    Attributes:
        parts: The products of each part's market, once they are chosen; see `stages.fit_stage`.

    Raises:
        CycleError: The file cannot be read, a key or value is not allowed, or a file that it names is missing.
    """

    def __init__(self, path: Path) -> None:
        self.config = read(Config, toml_table(path, CycleError), str(path), CycleError)
        self._base = path.parent
        self.parts: dict[str, DataFrame] | None = None
        self.out = self._base / self.config.out
        if wrong := next(filter(None, self._mistakes()), None):
            raise CycleError(f"{path}{wrong}")
        self._check_settings()

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

    def fingerprint(self) -> str:
        """Hash of the configuration and of every file that it reads."""
        digest = hashlib.sha256(msgspec.json.encode(self.config))
        for path in self._inputs():
            for part in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
                with part.open("rb") as file:
                    digest.update(part.name.encode() + hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def settings(self) -> str:
        """Hash of what a policy depends on beside the tables: with other settings it is trained again."""
        asked = self.config
        digest = hashlib.sha256(msgspec.json.encode((asked.name, asked.out, asked.seed, asked.fit, asked.train)))
        for path in map(self.file, (asked.fit.rules, asked.fit.priors)):
            digest.update(b"" if path is None else path.read_bytes())
        return digest.hexdigest()

    def _inputs(self) -> list[Path]:
        tables = self.config.tables
        fit = self.config.fit
        named = [self.file(name) for name in (tables.mapping, tables.dataset, fit.rules, fit.priors, *fit.experiments)]
        return [*self.files.values(), *(path for path in named if path is not None)]

    def _mistakes(self) -> Iterator[str | None]:
        """What is wrong with the files that are named, and beside each other; errors follow the path of the configuration."""
        tables = self.config.tables
        by = self.config.fit.by
        named = [name for name, value in msgspec.to_builtins(tables).items() if value]
        got = ", ".join(named) or "none of them"
        files = self.files
        dataset = self.file(tables.dataset)
        lacking = files and not {"sales", "products"} <= {*files}
        if lacking or (bool(files) + bool(dataset) + bool(tables.example)) != 1:
            fix = "add what is missing, or leave one out"
            yield f": [tables] must name sales, products and other files, or dataset, or example; got {got}; {fix}"
        for name, unused in (("mapping", not files), ("key_file", dataset)):
            if unused and name in named:
                yield f": [tables] {name} is for files; got it beside {got}; leave it out"
        if self.out.exists() and not self.out.is_dir():
            yield f": out must be a folder; got {self.out}, which is a file; name another"
        for one in self._inputs():
            if not one.exists():
                yield f" must name files that exist; got {one}, which is not there; write it or fix the path"
        if dataset and kept_file(dataset, "sales.parquet") and not kept_file(dataset, "products.parquet"):
            got = f"got {dataset} without one"
            yield f": [tables] dataset must hold a product table; {got}; import it with --products"
        if by != "chain" and "plan" in named:
            yield f' [tables]: plan is for all stores; got it beside by = "{by}"; leave one of them out'

    def _check_settings(self) -> None:
        """What would otherwise fail after minutes of work."""
        from ...evaluation.uncertainty.recommendation import tail_of
        from ...fitting import Priors, ShopRules
        from ...fitting.split import check_period

        fit = self.config.fit
        check_period(fit.period, zones=fit.by != "chain")
        tail_of(self.config.train.risk)
        ShopRules.load(self.file(fit.rules))
        if fit.priors is not None:
            Priors.load(self._base / fit.priors)
