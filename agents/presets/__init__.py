"""Presets: default settings of each algorithm, one TOML file each; those of SAC are in `sac.toml`.

`[default]` holds for every scenario. `["many-products"]` overrides it for product-wise learning,
`["separate-periods"]` that where a price matters in its own period only, and a block named after a
scenario overrides all.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ...scenarios import MarketSpec

MANY_PRODUCTS, SEPARATE_PERIODS = "many-products", "separate-periods"
_LASTING = ("reference_price", "strategic", "loyalty", "competitors", "capacity")
Blocks = dict[str, dict[str, Any]]


def preset_block(spec: MarketSpec) -> str:
    """Name of a preset's block for this scenario; a stressed market uses that of the original one."""
    return spec.name.partition("@")[0]


def has_separate_periods(spec: MarketSpec) -> bool:
    """Whether a price leaves nothing behind but stock that is replenished."""
    stock, lasting = spec.stock, any(getattr(spec, name) is not None for name in _LASTING)
    runs_out = stock.replenishment != "order-up-to" and np.isfinite(stock.initial_units).any()
    return not (lasting or runs_out or stock.replenishment == "action")


def nothing_lasts(spec: MarketSpec) -> bool:
    """Whether an action neither changes anything after its period nor tells about it, so that later money is only noise."""
    unlimited = np.isinf(spec.stock.initial_units).all() and spec.stock.replenishment == "none"
    hidden = spec.posterior is not None or spec.shocks is not None or (spec.regimes and not spec.regimes.observed)
    return bool(unlimited and not hidden) and spec.guardrails.bounds_only and has_separate_periods(spec)


def product_wise_blocks(*markets: MarketSpec) -> tuple[str, ...]:
    """The blocks for product-wise learning in some markets, the last of which overrides the others.

    Example:
        >>> from repricer import load_scenario
        >>> product_wise_blocks(load_scenario("bench-10"))  # customers remember prices
        ('many-products',)
    """
    return (MANY_PRODUCTS, SEPARATE_PERIODS) if all(map(has_separate_periods, markets)) else (MANY_PRODUCTS,)


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
        spec: The market that it must have a block for.

    Raises:
        ValueError: The file does not exist, is no preset, or has no block for the market.
    """
    try:
        blocks = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"preset must be a TOML file; got {path}, which does not exist; check the path") from None
    except ValueError as error:
        raise ValueError(f"preset {path} must be a TOML file in UTF-8; got: {error}; fix that line") from error
    for name, block in blocks.items():
        if not isinstance(block, dict):
            raise ValueError(f"preset {path} must hold blocks; got {name} outside of one; put it under [default]")
    known = ("default", *product_wise_blocks(spec), preset_block(spec))
    if not any(name in blocks for name in known):
        wanted = ", ".join(known)
        raise ValueError(f"preset {path} must have a block of {wanted}; got {', '.join(blocks) or 'none'}; rename one")
    return blocks
