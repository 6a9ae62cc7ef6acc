"""`repricer keys`: who may ask the price service."""

from __future__ import annotations

from pathlib import Path

import click

from ..serving.http.api_keys import ROLES, add_key, read_keys, remove_key
from ._options import emit, json_option, say

_FILE = click.Path(path_type=Path)


@click.group("keys")
def command() -> None:
    """Make, list and remove the API keys of a file for `repricer serve --keys`."""


@command.command("add")
@click.argument("file", type=_FILE)
@click.option("--role", required=True, type=click.Choice(ROLES), help="read < price < admin.")
@click.option("--name", help="What logs call it [default: the role].")
@json_option
def add(file: Path, role: str, name: str | None, as_json: bool) -> None:
    """Make a key and print it, this once: the file keeps a salted hash alone."""
    name = name or role
    key = add_key(file, role=role, name=name)
    if as_json:
        emit({"file": str(file), "name": name, "role": role, "key": key})
    else:
        say(key)
        click.echo(f"'{name}' may {role}; keep the key now, it is not told again", err=True)


@command.command("list")
@click.argument("file", type=_FILE)
@json_option
def show_all(file: Path, as_json: bool) -> None:
    """List the keys of a file."""
    keys = [{"name": key.name, "role": key.role, "created": key.created} for key in read_keys(file)]
    if as_json:
        emit({"keys": keys})
    else:
        for key in keys:
            say(f"{key['name']}: {key['role']}, {key['created']}")


@command.command("remove")
@click.argument("file", type=_FILE)
@click.argument("name")
@json_option
def remove(file: Path, name: str, as_json: bool) -> None:
    """Take a key out of a file; a running service takes notice when it starts again."""
    remove_key(file, name)
    if as_json:
        emit({"file": str(file), "removed": name})
    else:
        say(f"'{name}' is removed; start the service again")
