"""`repricer data encrypt`, `decrypt`, `rotate` and `erase`: what protects the persons in the tables."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..atomic import write_new, write_whole
from ..planning.shop_files import FileLayout
from ..privacy.encryption import change_folder, kept_file, secret
from ._options import FILE, check_there, confirm, json_option, output, tables_options, yes_option
from ._tables import file_options, mapping_option

if TYPE_CHECKING:
    from ..data.changes import Kept

_key_file = click.option("--key-file", type=FILE, help="Secret of the pseudonyms.  [default: TABLES.key]")
_kept = click.option(
    "--kept",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Folder of what was made of the tables, such as that of a cycle; may be repeated.",
)


@click.command()
@click.argument("folder", type=FILE)
@tables_options
@json_option
def encrypt(folder: Path, as_json: bool) -> None:
    """Encrypt the files of FOLDER, imported tables or a bundle, with the key of --key-from.

    Commands read them with the key in the environment, and decrypt them in memory only.
    """
    _change(folder, as_json, back=False)


@click.command()
@click.argument("folder", type=FILE)
@tables_options
@json_option
def decrypt(folder: Path, as_json: bool) -> None:
    """Decrypt the files of FOLDER, imported tables or a bundle, with the key of --key-from."""
    _change(folder, as_json, back=True)


def _change(folder: Path, as_json: bool, *, back: bool) -> None:
    from ..data import DataError
    from ..data.storage import access_to

    if not any(kept_file(folder, name) for name in ("sales.parquet", "manifest.json")):
        raise DataError(f"FOLDER must hold imported tables or a bundle; got {folder}; name another")
    access = access_to(folder) if kept_file(folder, "sales.parquet") else None
    if access is not None:
        access.check_whole()
    changed = change_folder(folder, secret(), back=back)
    if access is not None:
        access.note(changed)
    line = f"{'decrypted' if back else 'encrypted'}: {len(changed)} files in {folder}"
    output(as_json, {"folder": str(folder), "files": changed}, line)


@click.command()
@click.argument("tables", type=FILE)
@_key_file
@file_options
@mapping_option
@_kept
@tables_options
@yes_option
@json_option
def rotate(
    tables: Path,
    key_file: Path | None,
    paths: dict[str, Path],
    mapping: FileLayout | None,
    kept: tuple[Path, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Give every customer in TABLES a new pseudonym, under a new key that replaces the old one.

    With the shop's own files (--customers, --sales, --behaviour) the new pseudonyms are those that
    an import with the new key gives. Customers who are in none of them get one that cannot be
    linked to later imports.
    """
    from ..data.changes import raw_ids, read_kept
    from ..data.changes import rotate as rotated
    from ..data.storage import parts_beside
    from ..privacy.artifacts import using

    key_file = key_file or tables.with_name(tables.name + ".key")
    pending = key_file.with_name(key_file.name + ".new")
    whole = read_kept(tables)
    if not _finish(whole, key_file, pending):
        names = whole.pseudonyms()
        named = {str(path): count for path, count in using(kept, names, (tables, parts_beside(tables))).items()}
        ids = raw_ids(paths, mapping.mappings(paths) if mapping else {})
        old = None
        if ids or key_file.exists():
            check_there("--key-file", key_file)
            old = key_file.read_bytes()
            whole.check_key(old, key_file)
        confirm(f"Replace {len(names):,} pseudonyms in {tables}, and their key, for ever?", yes)
        if not pending.exists():
            write_new(pending, secrets.token_bytes(32))
        linked = rotated(tables, whole, pending.read_bytes(), old=old, ids=ids)
        _finish(read_kept(tables), key_file, pending)
    else:
        linked = 0
        names = set[str]()
        named = dict[str, int]()
    document = {"customers": len(names), "linked": linked, "key_file": str(key_file), "still_old": named}
    line = (
        f"{len(names):,} customers have new pseudonyms, {linked:,} of them those of an import with the new {key_file}"
    )
    output(as_json, document, line, *(f"still uses {n:,} old pseudonyms: {path}" for path, n in named.items()))


def _finish(whole: Kept, key_file: Path, pending: Path) -> bool:
    """Put the new key in the old one's place, if the pseudonyms in the tables were made with it already.

    Args:
        whole: All that the folder of tables holds.
        key_file: The old key.
        pending: The new key, which lies there until a rotation is complete.

    Returns:
        Whether it is in the old one's place now.
    """
    from ..privacy.pseudonyms import Pseudonyms

    if not pending.exists():
        return False
    new_key = pending.read_bytes()
    if whole.account.get("pseudonym_key") != Pseudonyms(new_key).key_id:
        return False
    write_whole(key_file, new_key, mode=0o600)
    pending.unlink()
    return True


@click.command()
@click.argument("customer")
@click.argument("tables", type=FILE)
@_key_file
@_kept
@tables_options
@yes_option
@json_option
def erase(customer: str, tables: Path, key_file: Path | None, kept: tuple[Path, ...], yes: bool, as_json: bool) -> None:
    """Remove all rows of CUSTOMER, an id or a pseudonym, from TABLES, and name what rests on them.

    A - reads the id from standard input. Fitted markets, runs, bundles, kept lists and reports under
    --kept were made of tables that held the customer, unless they say otherwise: make them again.
    """
    from ..data import DataError
    from ..data.changes import erase as erased
    from ..data.changes import read_kept
    from ..data.storage import parts_beside
    from ..privacy.artifacts import stale
    from ..privacy.pseudonyms import PSEUDONYM, Pseudonyms

    given = sys.stdin.readline().strip() if customer == "-" else customer
    whole = read_kept(tables)
    pseudonym = given
    if not PSEUDONYM.fullmatch(given):
        key_file = key_file or tables.with_name(tables.name + ".key")
        check_there("--key-file", key_file)
        key = key_file.read_bytes()
        whole.check_key(key, key_file)
        pseudonym = Pseudonyms(key).of(given)
    # What was made of tables with this fingerprint never held the customer.
    without_customer = whole.without(pseudonym).tables.fingerprint()
    artifacts = stale(kept, {given, pseudonym}, without_customer, (tables, parts_beside(tables)))
    confirm(f"Remove all rows of {pseudonym} from {tables} for ever?", yes)
    rows = erased(tables, whole, pseudonym)
    if not any(rows.values()) and not artifacts:
        must = f"CUSTOMER must be in {tables}"
        raise DataError(f"{must}; got one who is not, with the pseudonym {pseudonym}; check the id")
    lines = [f"{pseudonym}: removed {', '.join(f'{count:,} rows of {table}' for table, count in rows.items())}"]
    lines += [f"stale: {one.kind} {one.path}: {one.what_to_do}" for one in artifacts]
    lines.append(
        "your own files still hold the customer: leave the rows out there too, or the next import brings them back"
    )
    described = [{**one._asdict(), "path": str(one.path)} for one in artifacts]
    output(as_json, {"pseudonym": pseudonym, "rows": rows, "stale": described}, *lines)
