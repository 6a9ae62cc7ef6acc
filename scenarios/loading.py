"""Scenario files: TOML beside an optional .npz of arrays, to and from the frozen MarketSpec."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..pricing import PriceLadder
from .errors import ScenarioError
from .spec import (
    Arrivals,
    Demand,
    History,
    Market,
    MarketSpec,
    Prices,
    Products,
    Recommendation,
    ReferencePrice,
    Stock,
)

_SECTIONS = {
    "market": Market,
    "products": Products,
    "arrivals": Arrivals,
    "demand": Demand,
    "prices": Prices,
    "stock": Stock,
    "reference_price": ReferencePrice,
    "recommendation": Recommendation,
    "history": History,
}


def registered() -> dict[str, Path]:
    """Names of the scenarios that come with the package, each with its file."""
    folder = Path(str(resources.files("repricer.scenarios.textbook")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_scenario(name: str | os.PathLike[str] | MarketSpec) -> MarketSpec:
    """A scenario by registered name, by the path of its TOML file or its folder, or a MarketSpec as it is.

    Raises ScenarioError with one line: the key, what is allowed, what came, and the nearest known key or name.
    """
    if isinstance(name, MarketSpec):
        return name
    known = registered()
    path = known.get(str(name), Path(name))
    if path.is_dir():
        path = path / "scenario.toml"
    if not path.is_file():
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"registered are {', '.join(known)}"
        raise ScenarioError(f"scenario must be a registered name or a TOML file; got '{name}'; {hint}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path} must be a TOML file; got a syntax error: {error}; mend that line") from error
    arrays = path.with_suffix(".npz")
    if arrays.is_file():
        _merge_arrays(table, arrays)
    return spec_from_table(table, where=str(path))


def spec_from_table(table: Mapping[str, Any], *, where: str = "scenario") -> MarketSpec:
    """A MarketSpec from the nested tables of a scenario file; unknown keys are errors."""
    table = dict(table)
    values = {}
    for name, section in _SECTIONS.items():
        if name in table:
            content = table.pop(name)
            if not isinstance(content, Mapping):
                raise ScenarioError(
                    f"{name} must be a table [{name}] in {where}; got {content!r}; put its keys under [{name}]"
                )
            values[name] = _section(section, dict(content), name)
    values |= _keywords(MarketSpec, table, "", also=_SECTIONS)
    _require(MarketSpec, values, "")
    return MarketSpec(**values)


def _section(section: type, content: dict[str, Any], name: str) -> Any:
    if "price_ladder" in content:
        content["price_ladder"] = _ladder(content["price_ladder"])
    values = _keywords(section, content, f"{name}.")
    _require(section, values, f"{name}.")
    return section(**values)


def _keywords(
    section: type, content: Mapping[str, Any], prefix: str, also: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    known = [item.name for item in fields(section)]
    for key in content:
        if key not in known or (also and key in also):
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean '{prefix}{near[0]}'?" if near else f"known are {', '.join(known)}"
            raise ScenarioError(f"{prefix}{key} is no known key; {hint}")
    return {key: tuple(v) if _is_names(v) else v for key, v in content.items()}


def _is_names(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(item, str) for item in content)


def _require(section: type, values: Mapping[str, Any], prefix: str) -> None:
    for item in fields(section):
        if item.name not in values and item.default is MISSING and item.default_factory is MISSING:
            raise ScenarioError(f"{prefix}{item.name} is missing; it is {item.metadata['doc']}; add it")


def _ladder(content: Any) -> PriceLadder:
    try:
        if isinstance(content, Mapping):
            unknown = set(content) ^ {"start", "stop", "step"}
            if unknown:
                raise ValueError(f"price_ladder takes start, stop, step; got {', '.join(content)}; name all three")
            return PriceLadder.from_range(**content)
        return PriceLadder(np.asarray(content, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"prices.{error}") from error


def _merge_arrays(table: dict[str, Any], path: Path) -> None:
    """Put the arrays of the .npz, named `section.key`, where the TOML would have them."""
    with np.load(path, allow_pickle=False) as arrays:
        for key in arrays.files:
            section, _, name = key.partition(".")
            if not name:
                raise ScenarioError(f"{path} must name its arrays section.key; got '{key}'; rename it")
            table.setdefault(section, {})[name] = arrays[key]


def save_scenario(spec: MarketSpec, folder: str | os.PathLike[str]) -> Path:
    """Write scenario.toml and scenario.npz into the folder; `load_scenario(folder)` gives the same market back."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    lines: list[str] = []
    for item in fields(spec):
        current = getattr(spec, item.name)
        if item.name not in _SECTIONS:
            lines.append(f"{item.name} = {_toml(current)}")
    for name in _SECTIONS:
        section = getattr(spec, name)
        if section is None:
            continue
        lines.append(f"\n[{name}]")
        for item in fields(section):
            current = getattr(section, item.name)
            if isinstance(current, np.ndarray):
                arrays[f"{name}.{item.name}"] = current
            elif current is not None:
                lines.append(f"{item.name} = {_toml(current)}")
    np.savez(folder / "scenario.npz", **arrays)  # pyright: ignore[reportArgumentType]
    target = folder / "scenario.toml"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def _toml(content: Any) -> str:
    if isinstance(content, PriceLadder):
        content = content.steps.tolist()
    if isinstance(content, str):
        escaped = content.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(content, tuple | list):
        return "[" + ", ".join(_toml(item) for item in content) + "]"
    return repr(content)
