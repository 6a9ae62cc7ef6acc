"""Presets: default settings of each algorithm, one TOML file each; those of SAC are in `sac.toml`.

`[default]` holds for every market, and the blocks of `preset_blocks` for markets of a kind. A market's name
selects nothing: the same market under another name is learned in the same way.
"""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ...scenarios import MarketSpec
from .best_rule import best_rule

MANY_PRODUCTS = "many-products"
_LASTING = ("reference_price", "strategic", "loyalty", "competitors", "capacity")
Blocks = dict[str, dict[str, Any]]


def has_separate_periods(spec: MarketSpec) -> bool:
    """Whether a price leaves nothing behind but stock that is replenished."""
    stock = spec.stock
    lasting = any(getattr(spec, name) is not None for name in _LASTING)
    runs_out = stock.replenishment != "order-up-to" and np.isfinite(stock.initial_units).any()
    return not (lasting or runs_out or stock.replenishment == "action")


def nothing_lasts(spec: MarketSpec) -> bool:
    """Whether an action neither changes anything after its period nor tells about it, so that later money is only noise."""
    unlimited = np.isinf(spec.stock.initial_units).all() and spec.stock.replenishment == "none"
    hidden = spec.posterior is not None or spec.shocks is not None or (spec.regimes and not spec.regimes.observed)
    return bool(unlimited and not hidden) and spec.guardrails.bounds_only and has_separate_periods(spec)


def _rivals_answer(spec: MarketSpec) -> bool:
    """Whether rivals answer to the price of the one product in such a way that a rule earns more than fixed prices.

    Elsewhere the best prices lie near the fixed ones, and are learned as in a market without rivals.
    """
    if spec.competitors is None or set(spec.competitors.rule) == {"fixed"} or len(spec.products.names) > 1:
        return False
    return best_rule(spec) != "best-fixed"


def _is_unknown(spec: MarketSpec) -> bool:
    return spec.posterior is not None and spec.posterior.simulated


def _is_fitted(spec: MarketSpec) -> bool:
    """Whether a market was fitted on a shop's sales, whose plan it then holds, and policies do not order."""
    return spec.plan is not None and spec.num_draws > 0 and spec.stock.replenishment != "action"


_BY_PRODUCT: dict[str, Callable[[MarketSpec], bool]] = {
    "fitted": _is_fitted,
    "separate-periods": has_separate_periods,
}
_BY_MARKET: dict[str, Callable[[MarketSpec], bool]] = {
    "fitted": _is_fitted,
    "orders": lambda spec: spec.stock.replenishment == "action",
    "rivals-that-answer": _rivals_answer,
    "unknown-demand": _is_unknown,
}


def preset_blocks(*markets: MarketSpec, product_wise: bool) -> tuple[str, ...]:
    """The blocks for learning in some markets, by what these are, the last of which overrides the others.

    Example:
        >>> from repricer import load_scenario
        >>> preset_blocks(load_scenario("bench-10"), product_wise=True)  # customers remember prices
        ('default', 'many-products')
    """
    kinds, first = (_BY_PRODUCT, ("default", MANY_PRODUCTS)) if product_wise else (_BY_MARKET, ("default",))
    return (*first, *(name for name, holds in kinds.items() if all(map(holds, markets))))


def merged_blocks(presets: Iterable[Mapping[str, Any]], blocks: tuple[str, ...]) -> dict[str, Any]:
    """These blocks of all presets merged, later ones overriding earlier ones."""
    return {key: value for preset in presets for name in blocks for key, value in preset.get(name, {}).items()}


def installed_preset(algo: str) -> Blocks:
    """The blocks of an algorithm's installed preset.

    Args:
        algo: Name of the algorithm; its preset is `ALGO.toml` in this folder.

    Example:
        >>> installed_preset("sac")["default"]["learning_rate"]
        0.001
    """
    return tomllib.loads((resources.files(__name__) / f"{algo}.toml").read_text(encoding="utf-8"))


def read_preset(path: Path, spec: MarketSpec) -> Blocks:
    """The blocks of a caller's preset file.

    Args:
        spec: The market, after whose name a block of an earlier version's file may be called.

    Raises:
        ValueError: The file does not exist, is no preset, or has an unknown block.
    """
    try:
        blocks = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"preset must be a TOML file; got {path}, which does not exist; check the path") from None
    except ValueError as error:
        raise ValueError(f"preset {path} must be a TOML file in UTF-8; got: {error}; fix that line") from error
    old = spec.name.partition("@")[0]
    known = ("default", MANY_PRODUCTS, *_BY_PRODUCT, *_BY_MARKET)
    if old in blocks and old not in known:
        warnings.warn(
            f"preset {path}: rename the block {old} to default; the next version will not read it", stacklevel=2
        )
        blocks["default"] = blocks.get("default", {}) | blocks.pop(old)
    for name, block in blocks.items():
        if not isinstance(block, dict):
            raise ValueError(f"preset {path} must hold blocks; got {name} outside of one; put it under [default]")
        if name not in known:
            raise ValueError(f"preset {path} may have blocks {', '.join(known)}; got {name}; rename it to default")
    if not blocks:
        raise ValueError(f"preset {path} must have a block; got none; put the settings under [default]")
    return blocks
