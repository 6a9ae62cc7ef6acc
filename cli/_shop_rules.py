"""The shop's own rules: a file, and options for the common ones."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ._options import FILE


class Numbers(click.ParamType):
    """Numbers separated by commas."""

    name = "number,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[float]:
        """The numbers."""
        try:
            return [float(part) for part in str(value).split(",")]
        except ValueError:
            self.fail(f"must be numbers separated by commas; got {value!r}; write 0.49,0.99", param, ctx)


_OPTIONS = (
    click.option(
        "--rules",
        "rules_file",
        type=FILE,
        default=None,
        help="TOML file of the shop's own rules, by product, category or for all; see docs/rules.md. "
        "The options below win over it.",
    ),
    click.option("--category", multiple=True, help="A category to price; repeat for several.  [default: best sellers]"),
    click.option("--exclude", multiple=True, help="Id or name of a product to leave out; repeat for several."),
    click.option("--freeze", multiple=True, help="Id or name of a product that keeps its price; repeat for several."),
    click.option(
        "--unit-cost-share",
        type=Numbers(),
        default=None,
        help="Unit cost over the regular price where the tables give none: one share, or lowest,highest.",
    ),
    click.option("--max-change", type=float, default=None, help="Largest relative price change per period."),
    click.option("--endings", type=Numbers(), default=None, help="What prices may end in, for example 0.49,0.99."),
    click.option("--tick", type=float, default=None, help="Prices are multiples of it.  [default: 0.01]"),
)


def rules_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the shop's rules; the command gets them as one argument, `rules`."""

    @functools.wraps(command)
    def wrapped(
        *,
        rules_file: Path | None,
        category: tuple[str, ...],
        exclude: tuple[str, ...],
        freeze: tuple[str, ...],
        unit_cost_share: list[float] | None,
        max_change: float | None,
        endings: list[float] | None,
        tick: float | None,
        **rest: Any,
    ) -> Any:
        from ..fitting import ShopRules

        share = unit_cost_share[0] if unit_cost_share and len(unit_cost_share) == 1 else unit_cost_share
        shop = {"unit_cost_share": share, "max_change": max_change, "price_endings": endings, "tick": tick}
        shop["categories"] = list(category) or None
        products: dict[str, dict[str, bool]] = {name: {"frozen": True} for name in freeze}
        for name in exclude:
            products.setdefault(name, {})["excluded"] = True
        given = {key: content for key, content in shop.items() if content is not None}
        rules = ShopRules.load(rules_file, {"shop": given, "product": products})
        _said_once(rules.shop)
        return command(rules=rules, **rest)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _said_once(shop: Any) -> None:
    """Options that are older than the rules may not contradict them."""
    context = click.get_current_context()
    for option, key in (("widen", "widening"), ("objective", "objective")):
        given = context.get_parameter_source(option) == ParameterSource.COMMANDLINE
        if given and getattr(shop, key) is not None:
            raise ValueError(f"--{option} must be given once; got it beside shop.{key} of the rules; remove one")
