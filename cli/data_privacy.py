"""`repricer data encrypt` and `decrypt`: what protects the persons in a folder of tables."""

from __future__ import annotations

from pathlib import Path

import click

from ..encryption import change_folder, secret
from ._options import emit, json_option, say, tables_options
from ._tables import FILE


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
    from ..data.privacy.access import Access
    from ..data.storage import kept_file

    if not any(kept_file(folder, name) for name in ("sales.parquet", "manifest.json")):
        raise DataError(f"FOLDER must hold imported tables or a bundle; got {folder}; name another")
    access = Access.to(folder) if kept_file(folder, "sales.parquet") else None
    if access is not None:
        access.check_whole()
    changed = change_folder(folder, secret(), back=back)
    if access is not None:
        access.note(changed)
    if as_json:
        emit({"folder": str(folder), "files": changed})
        return
    say(f"{'decrypted' if back else 'encrypted'}: {len(changed)} files in {folder}")
