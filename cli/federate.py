"""`repricer federate`: one demand regression, or one policy, over shops that share no rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..atomic import write_json
from ..privacy.encryption import secret
from ._options import FILE, OUT, Number, emit, json_option, say, say_aside, tables_options

_line_key = click.option(
    "--shops-key",
    required=True,
    metavar="SOURCE",
    help="Key that coordinator and shops have in common: env:NAME, file:PATH or command:WORDS; 64 hexadecimal digits, "
    "as `openssl rand -hex 32` makes them.",
)
_out = click.option("--out", type=OUT, required=True, help="File for what all products have in common (.json).")
_wait = click.option(
    "--wait",
    type=Number(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    help="Longest time to wait for the shops to come, in seconds.",
)


def _timeout(seconds: float, what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option of how long a shop may take."""
    return click.option(
        "--timeout",
        "seconds",
        type=Number(min=0, min_open=True),
        default=seconds,
        show_default=True,
        help=f"Longest time for a shop {what}, in seconds; then the round is taken again without it.",
    )


@click.group("federate")
def command() -> None:
    """Fit one demand regression, or train one policy, over shops that share no rows.

    One machine runs `serve`, each shop `join` on its own tables. The sums over all shops give the fit
    that all rows in one place would give; a shop sends its part only under masks that cancel in the
    total. `repricer fit --shared FILE` then forecasts with it. For a policy, one machine runs `average`, each
    shop `repricer train --shops HOST:PORT`.
    """


_shops = click.option("--shops", type=click.IntRange(min=3), required=True, help="Shops to wait for.")
_host = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
_port = click.option(
    "--port", type=click.IntRange(0, 65535), default=8790, show_default=True, help="Port; 0 for a free one."
)


@command.command()
@_shops
@_host
@_port
@_timeout(60.0, "to answer")
@_wait
@_line_key
@_out
@json_option
def serve(shops_key: str, out: Path, as_json: bool, **options: Any) -> None:
    """Add up the shops' masked sums, and give each what all have in common."""
    from ..forecasting.federated import coordinate

    found = asyncio.run(coordinate(secret(shops_key), say=say_aside, **options))
    _finish(out, as_json, found.common.document(), len(found.shops), found.products, found.left_out)


@command.command()
@_shops
@_host
@_port
@_timeout(3600.0, "to learn between two means")
@_wait
@_line_key
@json_option
def average(shops_key: str, as_json: bool, **options: Any) -> None:
    """Give shops that train together the mean of their weights, which nobody keeps."""
    from ..forecasting.federated import average as averaged

    found = asyncio.run(averaged(secret(shops_key), say=say_aside, **options))
    if as_json:
        emit(found._asdict())
        return
    say(f"{len(found.shops)} shops learned together, {found.rounds} means: {found.policy}")


@command.command()
@click.argument("dataset", type=FILE)
@click.option("--to", "address", required=True, metavar="HOST:PORT", help="Where the coordinator listens.")
@click.option("--name", required=True, help="The shop's name for the others: letters, digits, `_`, `-` and `.`.")
@click.option("--period", type=click.Choice(["week", "day"]), default="week", show_default=True, help="As in fit.")
@_wait
@_line_key
@_out
@tables_options
@json_option
def join(
    dataset: Path, address: str, name: str, period: str, wait: float, shops_key: str, out: Path, as_json: bool
) -> None:
    """Take part with DATASET, a folder made by `repricer data import`; its rows stay here."""
    from ..data import load_tables, product_weeks
    from ..data.weeks import PERIODS
    from ..forecasting.federated import take_part

    host, port = host_and_port("--to", address)
    panel = product_weeks(load_tables(dataset), days=PERIODS[period].days)
    part = take_part(panel, secret(shops_key), name=name, host=host, port=port, wait=wait, say=say_aside)
    done = asyncio.run(part)
    _finish(out, as_json, done.common, done.shops, done.products)


def host_and_port(option: str, address: str) -> tuple[str, int]:
    """The two parts of HOST:PORT, as an option gives it."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal()):
        raise ValueError(f"{option} must be HOST:PORT; got '{address}'; write what `repricer federate` says")
    return host, int(port)


def _finish(
    out: Path, as_json: bool, common: dict[str, Any], shops: int, products: int, left_out: dict[str, str] | None = None
) -> None:
    write_json(out, {"common": common, "shops": shops, "products": products})
    if as_json:
        emit({"out": str(out), "shops": shops, "products": products, "left_out": left_out or {}, "common": common})
        return
    mean = dict(zip(common["names"], common["mean"], strict=True))
    say(f"{products} products of {shops} shops: a price 1% lower sells {-mean['discount']:.2f}% more, on average")
    say(f"Written to {out}. Next: repricer fit TABLES --shared {out}")
