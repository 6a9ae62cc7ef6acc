"""A table while it is imported: read part by part, checked row by row, then against itself and others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import polars as pl

from ..privacy.personal import personal_kind
from ..privacy.pseudonyms import Pseudonyms
from .mapping import TableMapping, nearest
from .row_checks import COPY, LINE, RETURN, cancelled, cast, convert, faults, misfits
from .schema import SCHEMAS, DataError
from .sources import PartRows, Source, Stage, TableFile, parts_of, source_name
from .suspects import odd_dates, suspects

_BAD: dict[str, Any] = {"row": pl.Int64, "reason": pl.String, "text": pl.String, "hash": pl.UInt64}
_APART: dict[str, Any] = {"_part": pl.UInt32, "row": pl.Int64, "reason": pl.String, "text": pl.String}
_CATEGORY = ["product", "category"]
_LINES_LOOKED_AT = 1_000_000
"""Sale lines that are looked at for prices and units that are hardly meant; of more, an even share."""
_MOSTLY = 100
"""More unreadable rows than this, and than good ones, are no accident: the layout is not that of the file."""
_COPIES = 100
"""Up to so many sale lines that are exact copies are taken for an accident."""
_COPIES_SHARE = 0.05
"""So is this share of all sale lines; of more copies, the shop has to say whether they were sold."""
Changes = Counter[str]
"""How many rows were changed, by the note about them; the number goes where the braces are."""


_NO_COST = "rows with unit_cost 0, taken as unknown: {}; of what costs nothing, the product table says so"


@dataclass
class IncomingTable:
    """A table while it is imported in batches, of which clean columns and faulty rows are kept.

    Args:
        name: One of `SCHEMAS`.
        source: Where its rows are.
        pseudonyms: What replaces ids of customers.
        stage: Where rows wait; None for the memory.

    Raises:
        DataError: There is no such source, or a column is missing.
    """

    name: str
    source: Source
    layout: TableMapping
    pseudonyms: Pseudonyms
    stage: Stage | None = None
    kept: int = 0
    changes: Changes = field(default_factory=Counter)
    _done: list[PartRows] = field(default_factory=list)
    _apart: list[pl.DataFrame] = field(default_factory=list)
    _categories: list[pl.DataFrame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.schema = SCHEMAS[self.name]
        self.parts = parts_of(self.source)
        self.file = TableFile(self.parts[0], self.layout)
        self.columns = find_columns(self.file, self.name, self.schema)
        self._day = next((column for column in ("date", "start_date") if column in self.schema.columns), None)

    def read(self, progress: Callable[[float], None]) -> None:
        """Read all parts that the stage does not keep yet, and check every row by itself."""
        whole = sum(part.size for part in self.parts)
        before = 0
        for number, part in enumerate(self.parts):
            known = (part.name, part.size, part.changed)
            # Nothing tells whether a table of a database has changed.
            rows = self.stage.find(self.name, known) if self.stage and part.files else None
            if rows is None:
                rows = self.stage.new(self.name, known, self._day) if self.stage else PartRows(part.name, None, None)
                file = self.file if number == 0 else TableFile(part, self.layout)
                share, start = (part.size / whole, before / whole) if whole else (1.0, 0.0)
                self._read_part(file, rows, lambda done, share=share, start=start: progress(start + share * done))
            before += part.size
            self._done.append(rows)
        if not self.read_rows:
            raise DataError(f"{self.label}: a table must hold rows; got none; check how it was exported")

    @property
    def label(self) -> str:
        """What the source is called in messages."""
        return self.file.name if len(self.parts) == 1 else source_name(self.source)

    def finish(
        self, known: pl.Series | None, progress: Callable[[float], None] = lambda _share: None
    ) -> Iterator[pl.DataFrame]:
        """Check the good rows against each other, and clean them: those of a day at a time, if they are on
        the disk, in order.

        Args:
            known: Ids of the product table, if there is one.
            progress: Called with the share of the weeks that are done.

        Raises:
            DataError: No row is good, most are faulty by themselves, or many sale lines are copies and `duplicates` is not declared.
        """
        weeks = sorted({week for part in self._done for week in part.weeks})
        specs = [column for column in self.schema.columns if column in self.columns]
        taken_back = self._taken_back(weeks)
        copied = 0
        for good in self._days(weeks, progress):
            good, copies = _set_apart(good, {COPY: self._copies(good["_hash"])}, specs)
            good, others = _set_apart(good, misfits(good, self.name, known=known, taken_back=taken_back), specs)
            self._apart += [copies, others]
            copied += len(copies)
            if good.is_empty():
                continue
            good = clean(good.drop("_part", "_row", "_hash"), self.name, self.changes)
            self.kept += len(good)
            if self.name == "sales" and _CATEGORY[1] in good:
                self._categories.append(good.group_by(_CATEGORY).agg(lines=pl.len()))
                good = good.drop(_CATEGORY[1])
            yield good
        most = max(_COPIES, _COPIES_SHARE * self._count("rows"))
        if self.name == "sales" and self.layout.duplicates is None and copied > most:
            raise DataError(
                f"{self.label}: few rows may be exact copies of earlier ones; got {copied:,} "
                f"({copied / self._count('rows'):.1%}); under [sales] "
                'of a mapping file, set duplicates = "keep" if each row is a sale of its own, as in lines without a '
                'receipt, or "reject" if rows were exported twice'
            )
        unread = len(self._bad())
        if not self.kept or unread > max(self.kept, _MOSTLY):
            rejects = self.rejects
            reason, rows = next(iter(rejects["reason"].value_counts().items()))
            first = _value(str(reason), rejects.loc[rejects["reason"] == reason, "text"].iloc[0])
            least = "half of the rows" if self.kept else "at least one row"
            raise DataError(
                f"{self.label}: {least} must be good; got {len(rejects):,} faulty ones, {rows:,} with '{reason}'{first}; "
                "fix the file, or declare its layout, such as a date format, a currency sign or a decimal comma, in a mapping "
                "file (repricer data mapping)"
            )

    @property
    def read_rows(self) -> int:
        """Rows read, without empty ones."""
        return self._count("rows") + self._count("broken")

    @property
    def returns(self) -> pl.DataFrame | None:
        """Sale lines with negative units; None where there is none."""
        found = [part.returns for part in self._done if len(part.returns)]
        return pl.concat(found, how="vertical_relaxed") if found else None

    @property
    def rejects(self) -> pd.DataFrame:
        """Faulty rows: `file`, `row`, `reason`, `text`."""
        rows = pl.concat([self._bad(), *self._apart]).sort("_part", "row")
        file = pl.Series("file", [part.name for part in self._done], dtype=pl.String)[rows["_part"]]
        return rows.select(file, "row", "reason", "text").to_pandas()

    def products(self) -> pl.DataFrame | None:
        """The products of the sales with their commonest category and the number of their categories; None without any."""
        if not self._categories:
            return None
        texts = pl.concat([rows.with_columns(pl.col(_CATEGORY).cast(pl.String)) for rows in self._categories])
        lines = texts.drop_nulls(_CATEGORY).group_by(_CATEGORY).agg(pl.col("lines").sum())
        best_first = lines.sort("product", "lines", "category", descending=[False, True, False])
        return best_first.group_by("product", maintain_order=True).agg(pl.col("category").first(), categories=pl.len())

    def notes(self, finished: pl.LazyFrame) -> list[str]:
        """What was noticed and changed, once the table is finished, with its rows."""
        notes = [] if self.stage is None else self.stage.account(self.name)
        unused = [name for name in self.file.columns if name not in self.columns.values()]
        if unused:
            traits = "; --allow-column NAME keeps one as a trait" if self.name == "customers" else ""
            notes.append(f"columns not used: {', '.join(unused)}{traits}")
        copies = self.rejects["reason"].str.startswith(COPY).sum()
        if copies:
            notes.append(
                f"rows that copy an earlier one: {copies:,} ({copies / self._count('rows'):.1%}); if the same line "
                'can occur twice, set duplicates = "keep" in a mapping file'
            )
        if (back := self.returns) is not None:
            units = -back["units"].sum()
            notes.append(f"returns (negative units), left out: {len(back):,} lines, {units:,.0f} units")
        if self._count("below_zero"):
            notes.append(f"rows with on_hand below 0, set to 0: {self._count('below_zero'):,}")
        if self.name == "sales":
            # Of a long table, a regular sample of at most _LINES_LOOKED_AT lines is enough; the division rounds up.
            spacing = max(1, -(-self.kept // _LINES_LOOKED_AT))
            looked_at = finished.select("product", "units", "price_paid").gather_every(spacing)
            sampled = f" (one line in {spacing} was looked at)" if spacing > 1 else ""
            notes += [note + sampled for note in suspects(looked_at.collect())]
            notes += odd_dates(finished.group_by("date").agg(lines=pl.len()).collect(engine="streaming"))
        notes += [text.format(f"{self.changes[text]:,}") for text in self.changes if self.changes[text]]
        if self._count("late"):
            notes.append(f"rows out of date order, sorted: {self._count('late'):,}")
        return notes

    def _count(self, fact: str) -> int:
        return sum(part.facts.get(fact, 0) for part in self._done)

    def _read_part(self, file: TableFile, kept: PartRows, progress: Callable[[float], None]) -> None:
        columns = self.columns if file is self.file else find_columns(file, self.name, self.schema)
        if columns.keys() != self.columns.keys():
            raise DataError(
                f"{file.name}: all files of {self.name} must have the same columns; got {', '.join(columns)}, but in "
                f"{self.file.name} {', '.join(self.columns)}; add what is missing, or import them apart"
            )
        facts = Counter[str]()
        bad = [_broken({})]
        latest = None
        for batch in file.batches(progress):
            self._refuse_persons(file, batch)
            positions = np.arange(file.read - len(batch), file.read)
            # Two of ten million rows have the same hash with a probability of 3e-6.
            batch = batch.with_columns(_hash=batch.hash_rows(seed=0), _row=pl.Series(file.row_numbers(positions)))
            batch = batch.filter(pl.any_horizontal(pl.exclude("_hash", "_row").is_not_null()))
            good, wrong, returns = self._checked(batch, columns, facts)
            bad.append(wrong)
            if returns is not None:
                kept.returns = pl.concat([kept.returns, returns]) if len(kept.returns) else returns
            if self._day is not None and len(good):
                highest = good[self._day].cum_max()
                highest = highest if latest is None else highest.clip(latest)
                facts["late"] += int((good[self._day] < highest).sum())
                latest = highest[-1]
            # Texts repeat: as categories they take four bytes per row in memory.
            kept.add(good if kept.folder else good.with_columns(pl.col(pl.String).cast(pl.Categorical)))
        kept.facts = {**facts, "broken": len(file.broken)}
        kept.bad = pl.concat([*bad, _broken(file.broken)])
        kept.close()

    def _refuse_persons(self, file: TableFile, batch: pl.DataFrame) -> None:
        """Raise DataError where a column obviously holds personal data."""
        known = {*self.layout.allow, *self.layout.drop, self.columns.get("customer")}
        for column in batch.columns:
            kind = None if column in known else personal_kind(self.name, column, batch[column])
            if kind is not None:
                raise DataError(
                    f"{file.name}: column '{column}' must hold no personal data; got {kind}; leave it out "
                    f"(--drop-column '{column}'), or take it as it is (--allow-column '{column}')"
                )

    def _checked(
        self, batch: pl.DataFrame, columns: dict[str, str], facts: Counter[str]
    ) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame | None]:
        """The rows that are good by themselves, the faulty ones, and, of sales, the returns among the faulty ones.

        Args:
            batch: Rows as they were read from a file, with their `_row` and `_hash`.
            columns: The file's own name of each canonical column.
            facts: Counts for the notes, which are added to.
        """
        raw = batch.select(pl.col(own).alias(column) for column, own in columns.items())
        if "customer" in raw:
            raw = raw.with_columns(self.pseudonyms.replace(raw["customer"]))
        specs = {column: spec for column, spec in self.schema.columns.items() if column in raw}
        # `faults` compares the stages: a text that is there but cannot be read, a value that is not allowed.
        read = raw.with_columns(cast(raw[column], spec, self.layout) for column, spec in specs.items())
        values = convert(read, self.layout)
        if self.name == "stock":
            facts["below_zero"] += int((values["on_hand"] < 0).sum())
            values = values.with_columns(pl.col("on_hand").clip(lower_bound=0))
        wrong = faults(raw, read, values, self.schema, self.layout)  # a column of booleans for each kind of fault
        is_bad = wrong.select(pl.any_horizontal(pl.all())).to_series()
        good = values.with_columns(batch["_row"], batch["_hash"]).filter(~is_bad)
        facts.update(rows=len(batch))
        bad = batch.filter(is_bad).select(row="_row", hash="_hash")
        reason = _reasons(wrong.filter(is_bad))
        text = _shown(raw.filter(is_bad), list(specs))
        bad = bad.with_columns(reason, text).select(*_BAD)
        if self.name != "sales" or not len(bad):
            return good, bad, None
        returns = values.filter(pl.col("units") < 0)
        if not len(returns):
            return good, bad, None
        return good, bad, returns.select(column for column in (*RETURN, "customer") if column in returns)

    def _week(self, week: int, columns: list[str] | None = None, *, last: bool = False) -> list[pl.DataFrame]:
        """The good rows of a week, in the order of the parts."""
        return [
            some.with_columns(_part=pl.lit(number, pl.UInt32))
            for number, part in enumerate(self._done)
            if week in part.weeks
            for some in part.rows(week, columns, last=last)
        ]

    def _days(self, weeks: list[int], progress: Callable[[float], None]) -> Iterator[pl.DataFrame]:
        """The good rows, those of a day at a time; all of them where they are in memory."""
        for done, week in enumerate(weeks, start=1):
            held = self._week(week, last=True)
            day = self._day
            if self.stage is None or day is None:
                held = [pl.concat(held, how="vertical_relaxed")] if held else []
                if held:
                    # No other reference may keep rows in memory that are left out.
                    yield held.pop()
                continue
            for date in pl.concat([rows[day].unique() for rows in held]).unique().sort():
                yield pl.concat([rows.filter(pl.col(day) == date) for rows in held], how="vertical_relaxed")
            progress(done / len(weeks))

    def _copies(self, hashes: pl.Series) -> pl.Series:
        """Whether a row is an exact copy of an earlier one, and that is a fault."""
        keep = self.layout.duplicates or ("keep" if self.name == "behaviour" else "reject")
        return ~hashes.is_first_distinct() & hashes.is_not_null() & (keep == "reject")

    def _taken_back(self, weeks: list[int]) -> pl.DataFrame | None:
        """The sale lines that a return on their own receipt cancels, wherever the two are."""
        returns = self.returns
        if returns is None or "basket" not in returns:
            return None
        receipts = returns["basket"].drop_nulls().unique()
        found = []
        for week in weeks:
            on_them = pl.col("basket").is_in(receipts.implode())
            rows = [some.filter(on_them) for some in self._week(week, ["_row", "_hash", *RETURN])]
            if rows:
                some = pl.concat(rows)
                found.append(_own(some.select("_part", "_row", key=LINE).filter(~self._copies(some["_hash"]))))
        return cancelled(pl.concat(found).sort("_part", "_row"), returns) if found else None

    def _bad(self) -> pl.DataFrame:
        """The rows that are faulty by themselves."""
        rows = [part.bad.with_columns(_part=pl.lit(number, pl.UInt32)) for number, part in enumerate(self._done)]
        bad = pl.concat(rows)
        also = pl.when(self._copies(bad["hash"])).then(pl.lit(f"{COPY}; ")).otherwise(pl.lit(""))
        return bad.select("_part", "row", (also + pl.col("reason")).alias("reason"), "text")


def _broken(rows: dict[int, str]) -> pl.DataFrame:
    """Records with too few or too many fields as faulty rows."""
    return pl.DataFrame(
        {"row": list(rows), "reason": list(rows.values()), "text": [""] * len(rows), "hash": [None] * len(rows)},
        schema=_BAD,
    )


def _set_apart(good: pl.DataFrame, wrong: dict[str, pl.Series], specs: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split rows into those without a fault and those with one, the latter with reason and text."""
    wrong = {reason: rows for reason, rows in wrong.items() if rows.any()}
    if not wrong:
        return good, pl.DataFrame(schema=_APART)
    flags = pl.DataFrame(wrong)
    is_bad = flags.select(pl.any_horizontal(pl.all())).to_series()
    bad = good.filter(is_bad)
    described = {"reason": _reasons(flags.filter(is_bad)), "text": _shown(bad, specs)}
    return good.filter(~is_bad), _own(bad.select("_part", row="_row").with_columns(**described))


def _reasons(flags: pl.DataFrame) -> pl.Series:
    """The names of the columns that are true in each row."""
    named = [pl.when(name).then(pl.lit(name)) for name in flags.columns]
    return flags.select(reason=pl.concat_str(named, separator="; ", ignore_nulls=True)).to_series()


def _value(reason: str, text: str) -> str:
    """The value that has a fault, in words, from the text of its row; nothing where it is missing."""
    column = re.escape(reason.partition(":")[0])
    found = re.search(rf"(?:^|, ){column}=(.*?)(?=, \w+=|$)", text)
    return f", such as '{found[1]}'" if found else ""


def _own(rows: pl.DataFrame) -> pl.DataFrame:
    """A few rows of a large frame in memory of their own: they would keep all of it there."""
    return pl.DataFrame(rows.to_dict(as_series=False), schema=rows.schema)


def _shown(rows: pl.DataFrame, columns: list[str]) -> pl.Series:
    """The canonical columns of faulty rows as text; other columns may hold personal data."""
    parts = []
    for column in columns:
        kind = rows.schema[column]
        text = pl.col(column).dt.to_string("%Y-%m-%d") if kind.is_temporal() else pl.col(column).cast(pl.String)
        text = text.str.strip_suffix(".0") if kind.is_float() else text
        parts.append(pl.lit(f"{column}=") + text)
    return rows.select(pl.concat_str(parts, separator=", ", ignore_nulls=True).alias("text")).to_series()


# Which column of a file is which of the canonical ones.


def find_columns(file: TableFile, name: str, schema: pa.DataFrameSchema) -> dict[str, str]:
    """The file's column by canonical column; further columns of customers that are allowed are traits.

    Raises:
        DataError: A column is missing, or there twice.
    """
    mapped = file.layout.columns
    layout = file.layout
    asked = dict.fromkeys([*layout.allow, *layout.drop], "to allow or to drop")
    for own, why in (asked | {own: f"mapped to {column}" for column, own in mapped.items()}).items():
        if own not in file.columns:
            raise DataError(
                f"{file.name}: column '{own}', {why}, is missing; got {', '.join(file.columns)}; {nearest(own, file.columns)}"
            )
    for own in {*layout.drop} & {*layout.allow, *mapped.values()}:
        raise DataError(f"{file.name}: a column to drop must not be mapped or allowed; got '{own}'; drop it or read it")
    found = [c for c in schema.columns if c not in mapped and c in file.columns and c not in layout.drop]
    columns = dict(mapped) | {c: c for c in found}
    if name == "customers":
        traits = [own for own in layout.allow if own not in columns.values() and own not in columns]
        columns |= {own: own for own in traits}
    doubled = next((own for column, own in columns.items() if own in file.doubled and column not in mapped), None)
    if doubled:
        raise DataError(
            f"{file.name}: column names must differ; got '{doubled}' twice in {', '.join(file.columns)}; rename one, or "
            f"name '{doubled}' (the first) or '{doubled} (2)' in a mapping file"
        )
    _check_needed(file, columns, schema)
    return columns


def _check_needed(file: TableFile, columns: dict[str, str], schema: pa.DataFrameSchema) -> None:
    needed = [column for column, spec in schema.columns.items() if spec.required]
    missing = [column for column in needed if column not in columns]
    if not missing:
        return
    free = [own for own in file.columns if own not in columns.values()]
    near = nearest(missing[0], free) if free else ""
    advice = f"rename '{near.split(chr(39))[1]}' to '{missing[0]}'" if near.startswith("did") else "rename or add it"
    if missing[0] in file.layout.drop:
        advice = "do not drop it"
    other = next((mark for mark in (";", "\t", "|") if len(file.columns) == 1 and mark in file.columns[0]), None)
    if other:
        advice = f'fields are separated by {other!r}: set separator = "{other}" in a mapping file'
    raise DataError(
        f"{file.name}: column '{missing[0]}' is missing; needed are {', '.join(needed)}; "
        f"got {', '.join(file.columns)}; {advice}, or name it in a mapping file (`repricer data mapping`)"
    )


# From good rows to a canonical table: completed and sorted, with a count of every change.


def clean(rows: pl.DataFrame, name: str, changes: Changes) -> pl.DataFrame:
    """Complete and sort good rows of the table `name`; add to `changes` what was changed."""
    if name == "sales":
        rows = _clean_sales(rows, changes)
    elif name == "customers":
        traits = [column for column in rows.columns if column != "customer" and not column.startswith("_")]
        rows = rows.with_columns(_as_numbers(rows[column]) for column in traits)
    day = next((column for column in ("date", "start_date") if column in rows), None)
    return rows if day is None or rows[day].is_sorted() else rows.sort(day, maintain_order=True)


def _clean_sales(sales: pl.DataFrame, changes: Changes) -> pl.DataFrame:
    changes["rows with units 0, kept for their price: {}"] += int((sales["units"] == 0).sum())
    changes["rows with price_paid 0, kept as given away: {}"] += int((sales["price_paid"] == 0).sum())
    if "unit_cost" in sales:
        free = (sales["unit_cost"] == 0).fill_null(False)
        changes[_NO_COST] += int(free.sum())
        sales = sales.with_columns(unit_cost=pl.when(~free).then("unit_cost"))
    if "regular_price" not in sales:
        changes["no column regular_price; price_paid is used instead"] = 1
        place = sales.get_column_index("price_paid") + 1
        sales = sales.insert_column(place, sales["price_paid"].alias("regular_price"))
    missing = sales["regular_price"].is_null()
    below = sales["regular_price"] < sales["price_paid"]
    for what, rows in {"missing": missing, "below price_paid": below}.items():
        changes[f"rows with regular_price {what}, set to price_paid: {{}}"] += int(rows.sum())
    return sales.with_columns(regular_price=pl.max_horizontal("price_paid", "regular_price"))


def _as_numbers(trait: pl.Series) -> pl.Series:
    """A customer trait as numbers, if all its values are numbers."""
    numbers = trait.cast(pl.String).cast(pl.Float64, strict=False)
    if numbers.null_count() != trait.null_count():
        return trait
    whole = (numbers.drop_nulls() % 1 == 0).all() and not numbers.null_count()
    return numbers.cast(pl.Int64) if whole else numbers


def to_pandas(columns: list[pl.Series]) -> pd.DataFrame:
    """A pandas table of `columns`; the list is emptied, so that none is in memory twice."""
    table: dict[str, pd.Series] = {}
    while columns:
        column = columns.pop(0)
        if column.dtype == pl.Categorical:
            column = column.cast(pl.String)
        elif column.dtype.is_temporal():
            column = column.cast(pl.Datetime("ns"))
        table[column.name] = column.to_pandas()
    return pd.DataFrame(table, copy=False)
