"""`repricer keys`: the API keys of the price service."""

from __future__ import annotations

from pathlib import Path

import click

from ..serving.http.api_keys import ROLES, add_key, read_keys, remove_key
from ._options import FILE, confirm, json_option, output, say_aside, yes_option


@click.group("keys")
def command() -> None:
    """Add, list and remove API keys in a file for `repricer serve --keys`."""


@command.command("add")
@click.argument("file", type=FILE)
@click.option("--role", required=True, type=click.Choice(ROLES), help="read < price < admin.")
@click.option("--name", help="Name of the key in logs [default: the role].")
@json_option
def add(file: Path, role: str, name: str | None, as_json: bool) -> None:
    """Add a key and print it once: the file stores only a salted hash."""
    name = name or role
    key = add_key(file, role=role, name=name)
    output(as_json, {"file": str(file), "name": name, "role": role, "key": key}, key)
    if not as_json:
        say_aside(f"'{name}' has the role {role}; store the key now, it cannot be shown again")


@command.command("list")
@click.argument("file", type=FILE)
@json_option
def show_all(file: Path, as_json: bool) -> None:
    """List the keys of a file."""
    keys = [{"name": key.name, "role": key.role, "created": key.created} for key in read_keys(file)]
    output(as_json, {"keys": keys}, *(f"{key['name']}: {key['role']}, {key['created']}" for key in keys))


@command.command("remove")
@click.argument("file", type=FILE)
@click.argument("name")
@yes_option
@json_option
def remove(file: Path, name: str, yes: bool, as_json: bool) -> None:
    """Remove a key from a file; a running service refuses it within a second or two."""
    confirm(f"Remove the key '{name}' from {file} for ever?", yes)
    remove_key(file, name)
    line = f"'{name}' is removed; a running service refuses it from now on"
    output(as_json, {"file": str(file), "removed": name}, line)
