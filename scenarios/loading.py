"""Read and write scenario files (TOML and optionally .npz), and find scenarios by name."""

from __future__ import annotations

import difflib
import functools
import io
import json
import os
import re
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from importlib import resources
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import whole_file, write_whole
from ..pricing import PriceEndings, PriceLadder
from . import description
from .card import describe
from .checks import is_name
from .fields import ScenarioError, as_numbers, is_names, listed, nearest, shown
from .price_section import ladder_of
from .sampler import sample_by_name
from .shop_sections import HISTORY, parted
from .spec import MarketSpec
from .stress import stressed

SECTIONS: dict[str, type] = {
    item.name: getattr(description, item.type.removesuffix(" | None"))
    for item in fields(MarketSpec)
    if is_dataclass(getattr(description, str(item.type).removesuffix(" | None"), None))
}
"""Class of every section of a scenario file, by name."""

_FIT_FILE = "*/fit.json"
"""The reports of markets in a folder."""
_SEVERAL = ("zones.json", "parts.json")
"""The files that a fit of several markets writes last."""


def scenario_sources() -> Iterator[tuple[str, Path | EntryPoint]]:
    """(name, source) of every scenario: this package's files, then others' entry points.

    An entry point of the group `repricer.scenarios` refers to the path of a TOML file, a table
    (mapping), a MarketSpec, or a function without arguments that returns one of them. It is loaded
    together with its scenario.
    """
    folder = Path(str(resources.files("repricer.scenarios.textbook")))
    for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem):
        yield path.stem, path
    for point in _extensions():
        yield point.name, point


@functools.cache
def _extensions() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group="repricer.scenarios"))


def gymnasium_id(scenario: str) -> str:
    """The Gymnasium id of a scenario.

    Example:
        >>> gymnasium_id("stationary-logit")
        'repricer/StationaryLogit-v0'
    """
    return f"repricer/{''.join(word.capitalize() for word in scenario.split('-'))}-v0"


def registered() -> dict[str, Path | EntryPoint]:
    """The registered scenarios.

    Returns:
        For each name, the file or the entry point that it is loaded from.

    Raises:
        ScenarioError: A name is invalid, or two scenarios share a name or a Gymnasium id (as
            `bench-1` and `bench1` do).

    Example:
        >>> "grocery" in registered()
        True
    """
    known: dict[str, Path | EntryPoint] = {}
    taken = {gymnasium_id("market"): "'market' from repricer"}
    for name, source in scenario_sources():
        mine = f"'{name}' from {_owner(source)}"
        env_id = gymnasium_id(name)
        if not is_name(name):
            raise ScenarioError(f"scenario names must be lower-case words joined by dashes; got {mine}; rename it")
        if env_id in taken:
            raise ScenarioError(
                f"scenario names must differ; got {taken[env_id]} and {mine}; rename or uninstall one of them"
            )
        taken[env_id] = mine
        known[name] = source
    return known


def _owner(source: Path | EntryPoint) -> str:
    if isinstance(source, Path) or source.dist is None:
        return "repricer"
    return source.dist.name


def load_scenario(name: str | os.PathLike[str] | MarketSpec) -> MarketSpec:
    """Load a scenario.

    Args:
        name: A registered name; the path of a scenario's TOML file or of its folder;
            `catalogue:N:SEED[:ASSORTMENT]` for a random shop of N products (see
            `sample_catalogue`); `NAME@STRESS` for any of these under a stress test of
            `STRESSES`, or `NAME@draw-m` under draw m of its posterior. A MarketSpec is returned as it is.

    Returns:
        The checked market description.

    Raises:
        ScenarioError: There is no such scenario, or its file is invalid. One line names the key,
            what is allowed, the value found, and the nearest known key or name.

    Example:
        >>> load_scenario("grocery@demand-halved")
        <MarketSpec grocery@demand-halved, version 2: 12 products, 3 segments, 52 weeks>
    """
    if isinstance(name, MarketSpec):
        return name
    text = str(name)
    known = registered()
    path = _file(Path(text))
    if text in known:
        return _from_source(text, known[text])
    if path is not None:
        return _from_file(path)
    sampled = sample_by_name(text)
    if sampled is not None:
        return sampled
    base, at, stress = text.rpartition("@")
    if at and re.fullmatch(r"draw-\d+", stress):
        return load_scenario(base).draw(int(stress.removeprefix("draw-")))
    if at:
        return stressed(load_scenario(base), stress)
    if Path(text).is_dir():
        # A folder of price zones, or of the parts of a catalogue, holds several markets.
        inside = sorted(str(file.parent) for file in Path(text).glob("*/scenario.toml"))
        fix = f"name one of those in it: {listed(inside)}" if inside else "fix it"
        if inside and any(Path(text).glob(_FIT_FILE)) and not any((Path(text) / name).is_file() for name in _SEVERAL):
            raise ScenarioError(
                f"scenario must be a finished fit; got {shown(text)}, of whose price zones or parts only {listed(inside)} "
                "are there; run the same `repricer fit` again, which goes on, or name one of these"
            )
        raise ScenarioError(f"scenario must be a folder with scenario.toml; got {shown(text)} without one; {fix}")
    if Path(text).name != text or text.endswith(".toml"):
        raise ScenarioError(
            f"scenario must be a TOML file or a folder with one; got {shown(text)}, which does not exist; check the path"
        )
    near = difflib.get_close_matches(text, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"registered are {', '.join(known)}"
    raise ScenarioError(
        f"scenario must be a registered name, a TOML file, catalogue:N:SEED or NAME@STRESS; got {shown(text)}; {hint}"
    )


def _file(path: Path) -> Path | None:
    if path.is_dir():
        path = path / "scenario.toml"
    return path if path.is_file() else None


def _from_source(name: str, source: Path | EntryPoint) -> MarketSpec:
    """The scenario of a registered name."""
    if isinstance(source, Path):
        return _from_file(source)
    where = f"scenario '{name}' of {_owner(source)}"
    try:
        content = source.load()
        spec = _from_object(content() if callable(content) else content)
    except Exception as error:  # whatever another package's code raises
        line = " ".join(str(error).split())
        raise ScenarioError(f"{where} must load; got {type(error).__name__}: {line}; fix that package") from error
    if spec.name != name:
        raise ScenarioError(f"{where} must have the name it is registered under; got '{spec.name}'; rename one of them")
    return spec


def _from_object(content: Any) -> MarketSpec:
    if isinstance(content, MarketSpec):
        return content
    if isinstance(content, Mapping):
        return spec_from_table(content)
    path = _file(Path(content)) if isinstance(content, str | os.PathLike) else None
    if path is None:
        raise ScenarioError(f"it must be a path, a table or a MarketSpec; got {shown(content)}")
    return _from_file(path)


def _from_file(path: Path) -> MarketSpec:
    try:
        text = path.read_text(encoding="utf-8")
        tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"{path} must be a TOML file; got a syntax error: {error}; fix that line") from error
    arrays = path.with_suffix(".npz")
    try:
        return _of_content(text, arrays.read_bytes() if arrays.is_file() else None, arrays.name)
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from error


@functools.lru_cache(maxsize=32)
def _of_content(text: str, arrays: bytes | None, arrays_name: str) -> MarketSpec:
    """One object for what files say, wherever they lie: what was searched in a market is kept by its object."""
    table = tomllib.loads(text)
    if arrays is not None:
        _merge_arrays(table, arrays, arrays_name)
    return spec_from_table(table)


def spec_from_table(table: Mapping[str, Any]) -> MarketSpec:
    """Make a MarketSpec from nested tables, as a scenario file has them.

    Args:
        table: Keys of the file's top level; sections are mappings.

    Raises:
        ScenarioError: A key is unknown or missing, or a value is not allowed.

    Example:
        >>> spec_from_table(
        ...     {
        ...         "name": "corner-shop",
        ...         "version": 1,
        ...         "market": {"horizon_periods": 10, "period": "week"},
        ...         "products": {"names": ["tea", "coffee"], "regular_price": [3.0, 5.0]},
        ...         "arrivals": {"rate": 40.0},
        ...         "demand": {"quality": [[2.0, 2.5]], "price_sensitivity": [[0.9, 0.6]]},
        ...         "prices": {"floor": 2.0, "ceiling": 8.0},
        ...     }
        ... )
        <MarketSpec corner-shop, version 1: 2 products, 10 weeks>
    """
    table = _without_history(table)
    values = {}
    for name, section in SECTIONS.items():
        if name in table:
            content = table.pop(name)
            if not isinstance(content, Mapping):
                raise ScenarioError(
                    f"{name} must be a table [{name}]; got {shown(content)}; put its keys under [{name}]"
                )
            values[name] = section_from_table(section, dict(content), name)
    values |= _keywords(MarketSpec, table, "")
    _require(MarketSpec, values, "")
    return MarketSpec(**values)


def _without_history(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table of an earlier version as one of this; another as it is."""
    table = dict(table)
    if not isinstance(table.get(HISTORY), Mapping):
        return table
    for name, content in parted(table.pop(HISTORY)).items():
        if content or name == "plan":
            table[name] = content | dict(table.get(name, {}))
    return table


def section_from_table(section: type, content: dict[str, Any], name: str) -> Any:
    """One section, not checked yet, from its table.

    Raises:
        ScenarioError: A key is unknown or missing, or a ladder or endings are wrong.

    Example:
        >>> from repricer.scenarios.sections import Shocks
        >>> section_from_table(Shocks, {"volatility": 0.1}, "shocks").persistence
        0.0
    """
    if "price_ladder" in content:
        content["price_ladder"] = ladder_of(content["price_ladder"])
    if "price_endings" in content:
        content["price_endings"] = _endings(content["price_endings"])
    if isinstance(content.get("rule"), str):
        content["rule"] = [content["rule"]]
    values = _keywords(section, content, f"{name}.")
    _require(section, values, f"{name}.")
    return section(**values)


def _keywords(section: type, content: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    known = {item.name: str(item.type) for item in fields(section)}
    for key in content:
        if key not in known:
            line = " ".join(key.split())
            raise ScenarioError(f"{prefix}{line} is no known key; {_hint(key, content[key], list(known), prefix)}")
    return {key: tuple(v) if known[key].startswith("tuple") and is_names(v) else v for key, v in content.items()}


def _hint(key: str, value: Any, known: list[str], prefix: str) -> str:
    """The section that is spelled nearly so, that has such a key, the nearest key of this section, or all known keys."""
    if not prefix and isinstance(value, Mapping) and difflib.get_close_matches(key, SECTIONS, cutoff=0.8):
        return nearest(key, list(SECTIONS))
    home = next((name for name, section in SECTIONS.items() if key in (item.name for item in fields(section))), None)
    if home is not None:
        return f"did you mean '{home}.{key}'?"
    return nearest(key, known, prefix)


def _require(section: type, values: Mapping[str, Any], prefix: str) -> None:
    for item in fields(section):
        if item.name not in values and item.default is MISSING and item.default_factory is MISSING:
            raise ScenarioError(f"{prefix}{item.name} is missing; it is {item.metadata['doc']}; add it")


def _endings(content: Any) -> PriceEndings:
    try:
        return PriceEndings(as_numbers(content, "prices.price_endings"))
    except ValueError as error:
        raise ScenarioError(f"{'' if isinstance(error, ScenarioError) else 'prices.'}{error}") from error


def _merge_arrays(table: dict[str, Any], content: bytes, file: str) -> None:
    """Put the arrays of the .npz file, named `section.key`, where the TOML file would have them.

    What the TOML file itself says wins, so that a shop can set a fitted market's floor by hand.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ScenarioError(f"{file} must hold plain arrays; got: {error}; write it with save_scenario") from error
    for key, content in arrays.items():
        section, _, name = key.partition(".")
        if section not in {*SECTIONS, HISTORY} or not name:
            raise ScenarioError(f"{file} must name its arrays section.key; got '{key}'; rename it")
        home = table.setdefault(section, {})
        if isinstance(home, dict):
            home.setdefault(name, content)


def save_scenario(spec: MarketSpec, folder: str | os.PathLike[str]) -> Path:
    """Write a market as scenario.toml and scenario.npz, which `load_scenario(folder)` reads back.

    Args:
        spec: The market.
        folder: Where to write; created if it does not exist.

    Returns:
        The path of scenario.toml.

    Example:
        >>> import tempfile
        >>> save_scenario(load_scenario("grocery"), tempfile.mkdtemp()).name
        'scenario.toml'
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    lines: list[str] = []
    for item in fields(spec):
        current = getattr(spec, item.name)
        if item.name not in SECTIONS:
            lines.append(f"{item.name} = {_toml(current)}")
    told = describe(spec)
    for item in fields(spec):
        name = item.name
        section = getattr(spec, item.name)
        # A section that every market has need not be written to be there.
        if name not in SECTIONS or section is None or (item.default is MISSING and name not in told):
            continue
        lines.append(f"\n[{name}]")
        for key in fields(section):
            current = getattr(section, key.name)
            if isinstance(current, np.ndarray):
                if name in ("posterior", "halves") and (current == key.default).all():
                    continue  # a part of the market that does not differ between the draws
                arrays[f"{name}.{key.name}"] = current
            elif current is not None:
                lines.append(f"{key.name} = {_toml(current)}")
    with whole_file(folder / "scenario.npz") as temporary:
        np.savez(temporary, **arrays)  # pyright: ignore[reportArgumentType]
    target = folder / "scenario.toml"
    write_whole(target, "\n".join(lines) + "\n")
    return target


def _toml(content: Any) -> str:
    if isinstance(content, PriceLadder):
        content = content.steps.tolist()
    if isinstance(content, PriceEndings):
        content = content.fractions.tolist()
    if isinstance(content, bool):
        return "true" if content else "false"
    if isinstance(content, str):
        # JSON strings are valid TOML strings, except for one unescaped control character.
        return json.dumps(content, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(content, Mapping):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml(item)}" for key, item in content.items()) + "}"
    if isinstance(content, tuple | list):
        return "[" + ", ".join(_toml(item) for item in content) + "]"
    return repr(content)


def _toml_key(key: str) -> str:
    """A key of a table, quoted unless it is a bare one."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


def register() -> None:
    """Register `repricer/Market-v0`, which takes `scenario=`, and one id per registered scenario.

    A scenario of another package with an invalid name is skipped, so that `import repricer` works;
    `registered` reports it when a scenario is loaded.
    """
    from gymnasium.envs.registration import register as gymnasium_register
    from gymnasium.envs.registration import registry

    names = [name for name, _ in scenario_sources() if is_name(name)]
    scenarios = {gymnasium_id(name): {"scenario": name} for name in names} | {gymnasium_id("market"): {}}
    for env_id, kwargs in scenarios.items():
        if env_id in registry:
            continue
        gymnasium_register(
            env_id,
            entry_point="repricer.envs:MarketEnv",
            vector_entry_point="repricer.envs:MarketVectorEnv",
            kwargs=kwargs,
        )
