"""Which column of a file is which of the canonical ones."""

from __future__ import annotations

import pandera.pandas as pa

from .mapping import nearest
from .schema import DataError
from .sources.reading import TableFile


def find_columns(file: TableFile, name: str, schema: pa.DataFrameSchema) -> dict[str, str]:
    """The file's column by canonical column; further columns of customers that are allowed are traits.

    Raises:
        DataError: A column is missing, or there twice.
    """
    mapped, layout = file.layout.columns, file.layout
    for own in {*layout.allow, *layout.drop} - {*file.columns}:
        raise DataError(
            f"{file.name}: column '{own}', to allow or to drop, is missing; got {', '.join(file.columns)}; "
            f"{nearest(own, file.columns)}"
        )
    for column, own in mapped.items():
        if own not in file.columns:
            raise DataError(
                f"{file.name}: column '{own}', mapped to {column}, is missing; got {', '.join(file.columns)}; "
                f"{nearest(own, file.columns)}"
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
