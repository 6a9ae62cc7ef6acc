"""Bring the generated parts of README and docs up to date: what stands between markers comes from the code."""

from __future__ import annotations

import argparse
import base64
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.inspect import StructType
from repricer.data import data_dictionary
from repricer.evaluation import solve
from repricer.evaluation.report.plots import learning_plot
from repricer.fitting.shop_rules import PRICE_KEYS, GapRule, GroupRules, IndexRule, PackRule, ProductRules, ShopWide
from repricer.planning.cycle.config import Config
from repricer.pricing import (
    FIXED_FEATURES,
    MARKET_FEATURES,
    MOVING_FEATURES,
    RULES,
    SEGMENT_FEATURES,
    UNCERTAINTY_FEATURES,
)
from repricer.pricing.price_rules.rule_formulas import ALWAYS, PRIORITIES, in_order
from repricer.profiles import FEATURES
from repricer.scenarios import STRESSES, MarketSpec, load_scenario, registered
from repricer.scenarios.card import group
from repricer.scenarios.loading import SECTIONS
from repricer.scenarios.price_section import Prices
from repricer.serving import documents
from repricer.serving.decision_log.outcomes import ReportedOutcome
from repricer.serving.http.settings import ServiceSettings
from repricer.serving.market_state import ProductDocument, StateDocument
from repricer.serving.predictor import PriceAnswer
from repricer.serving.price_list.rows import PriceRow
from repricer.serving.product_prices import ProductPrice

ROOT = Path(__file__).parents[1]


def filled(page: str, old: str, marker: str, text: str) -> str:
    """The page's old content with the text between its markers."""
    pattern = rf"(<!-- {marker}:begin.*?-->\n).*?(<!-- {marker}:end -->)"
    new, count = re.subn(pattern, lambda m: m[1] + text.rstrip() + "\n" + m[2], old, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{page} must hold the markers {marker}:begin and {marker}:end once; got {count}; add them")
    return new


def between(page: str, marker: str, text: str) -> None:
    """Put the text between the page's markers."""
    path = ROOT / page
    path.write_text(filled(page, path.read_text(encoding="utf-8"), marker, text), encoding="utf-8")


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def sections_text() -> str:
    """Every section of a scenario file: what it means, and its keys."""
    parts = []
    for item in fields(MarketSpec):
        if item.name not in SECTIONS:
            continue
        kind = SECTIONS[item.name]
        needed = "needed" if item.default is MISSING and item.default_factory is MISSING else "may be left out"
        rows = (
            (f"`{key.name}`", _shape(key), key.metadata["doc"], _allowed(key), _default(key)) for key in fields(kind)
        )
        heads = ("key", "shape", "meaning", "allowed", "default")
        parts.append(f"### `[{item.name}]`, {needed}\n\n{inspect.getdoc(kind)}\n\n{table(heads, rows)}")
    return "\n".join(parts)


def _shape(key: Field) -> str:
    if "shape" in key.metadata:
        whole = "whole number" if str(key.type).startswith("int") else "number"
        return " × ".join(key.metadata["shape"]) or whole
    if "flag" in key.metadata:
        return "switch"
    kind = str(key.type)
    if kind.startswith("tuple"):
        return "lists of names" if kind.startswith("tuple[tuple") else "names"
    return "prices" if "Ladder" in kind else "fractions" if "Endings" in kind else "word"


def _allowed(key: Field) -> str:
    if "choices" in key.metadata:
        return ", ".join(f"`{word}`" for word in key.metadata["choices"])
    if "shape" not in key.metadata:
        return ""
    low = key.metadata["low"]
    high = key.metadata["high"]
    return f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} or more"


def _default(key: Field) -> str:
    if key.default is MISSING:
        return "needed"
    return "none" if key.default is None else f"`{_toml(key.default)}`"


def _toml(content: Any) -> str:
    """As a scenario file has it."""
    if isinstance(content, bool):
        return str(content).lower()
    if isinstance(content, tuple):
        return f"[{', '.join(map(_toml, content))}]"
    return f'"{content}"' if isinstance(content, str) else f"{content:g}"


def features_text() -> str:
    """What a network sees of a product."""
    groups = {
        "moving": MOVING_FEATURES,
        "market": MARKET_FEATURES,
        "fixed": FIXED_FEATURES,
        "fixed, one a segment": SEGMENT_FEATURES,
        "fixed, of a posterior": UNCERTAINTY_FEATURES,
    }
    rows = ((f"`{name}`", kind, text) for kind, features in groups.items() for name, text in features.items())
    return table(("feature", "kind", "meaning"), rows)


def scenarios_text() -> str:
    """The scenarios of this package, with the optimum where a solver reaches it."""
    kinds = {"textbook": [], "shops": [], "benchmarks": []}
    for name, source in registered().items():
        if not isinstance(source, Path):  # another package's
            continue
        spec = load_scenario(name)
        optimum = solve(spec)
        best = "–" if optimum is None else f"{optimum.value:.6g}, {optimum.method}"
        size = f"{len(spec.products.names)} × {spec.market.horizon_periods}"
        kinds[group(spec)].append((f"`{name}`", size, best, spec.summary))
    heads = ("scenario", "products × periods", "optimum", "what it is")
    return "\n".join(f"**{kind.capitalize()}**\n\n{table(heads, rows)}" for kind, rows in kinds.items())


def rules_text() -> str:
    """The price rules, those that can contradict others by their priority, the strongest first."""
    order = [*in_order({}), *ALWAYS]
    levels = PRIORITIES | dict.fromkeys(ALWAYS, "always kept")
    rows = ((f"`{rule}`", str(levels[rule]), RULES[rule]) for rule in order)
    return table(("rule", "priority by default", "what it asks for"), rows)


def stresses_text() -> str:
    """The stress tests."""
    return table(("stress", "what happens"), ((f"`{name}`", stress.meaning) for name, stress in STRESSES.items()))


def state_text() -> str:
    """What a state holds, and each of its products."""
    product = documents_table(ProductDocument)
    return f"{documents_table(StateDocument)}\nEach of `products`:\n\n{product}"


def answer_text() -> str:
    """What the answer to a state holds, and each of its products."""
    return f"{attributes_table(PriceAnswer)}\nEach of `prices`:\n\n{attributes_table(ProductPrice)}"


def attributes_table(kind: type) -> str:
    """The fields of a class, as its docstring has them. Raises ValueError where it lacks one."""
    described = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    meanings = dict(re.findall(r"^    (\w+): (.*(?:\n     .*)*)", described, flags=re.MULTILINE))
    names = [key.name for key in fields(kind)]
    if lacking := [name for name in names if name not in meanings]:
        raise ValueError(
            f"the docstring of {kind.__name__} must have all fields; it lacks {', '.join(lacking)}; add them"
        )
    return table(("field", "meaning"), ((f"`{name}`", " ".join(meanings[name].split()).rstrip(".")) for name in names))


def outcome_text() -> str:
    """What an outcome holds."""
    return documents_table(ReportedOutcome)


def price_list_text() -> str:
    """The columns of a price list."""
    return documents_table(PriceRow)


def settings_text() -> str:
    """The settings of a service."""
    return documents_table(ServiceSettings)


def documents_table(kind: Any) -> str:
    """The declared fields of a document."""
    rows = (
        (f"`{field.name}`{'' if field.required else ', optional'}", field.allowed, field.description)
        for field in documents.fields(kind).values()
    )
    return table(("field", "allowed", "meaning"), rows)


def cycle_text() -> str:
    """The keys of a configuration of `repricer cycle`."""

    def rows(kind: Any) -> Iterator[tuple[str, ...]]:
        default = {item.name: item.default for item in msgspec.structs.fields(kind)}
        for name, field in documents.fields(kind).items():
            if not isinstance(field.type, StructType):
                usual = "" if default[name] in (None, msgspec.NODEFAULT) else f"`{json.dumps(default[name])}`"
                yield f"`{name}`", field.description, field.allowed.replace(", or null", ""), usual

    parts: dict[str, Any] = {"Outside any table:": Config}
    for name, field in documents.fields(Config).items():
        if isinstance(field.type, StructType):
            parts[f"In `[{name}]`:"] = field.type.cls
    heads = ("key", "meaning", "allowed", "default")
    return "\n".join(f"{where}\n\n{table(heads, rows(kind))}" for where, kind in parts.items())


def shop_rules_text() -> str:
    """The keys of a file of the shop's own rules."""

    def rows(kind: type, left_out: type | None = None) -> Iterator[tuple[str, ...]]:
        known = () if left_out is None else {key.name for key in fields(left_out)}
        for key in fields(kind):
            if key.name not in known:
                yield f"`{key.name}`", key.metadata["doc"], _allowed(key)

    prices = {key.name: key for key in fields(Prices)}
    whole = [
        *rows(ShopWide, ProductRules),
        *((f"`{n}`", prices[n].metadata["doc"], _allowed(prices[n])) for n in PRICE_KEYS),
    ]
    heads = ("key", "meaning", "allowed")
    return (
        f"In `[shop]`, `[category.NAME]`, `[group.NAME]` and `[product.ID]`:\n\n{table(heads, rows(ProductRules))}\n"
        f"In `[group.NAME]` alone:\n\n{table(heads, rows(GroupRules, ProductRules))}\n"
        f"In `[shop]` alone:\n\n{table(heads, whole)}\nIn each `[[gap]]`:\n\n{table(heads, rows(GapRule))}\n"
        f"In each `[[pack]]`:\n\n{table(heads, rows(PackRule))}\nIn `[index]`:\n\n{table(heads, rows(IndexRule))}"
    )


def customers_text() -> str:
    """The features of a customer."""
    return table(("feature", "meaning and unit"), ((f"`{name}`", meaning) for name, meaning in FEATURES.items()))


PAGES = {
    "docs/rules.md": {"rules": shop_rules_text},
    "docs/data.md": {"dictionary": data_dictionary},
    "docs/market.md": {
        "features": features_text,
        "rules": rules_text,
        "scenarios": scenarios_text,
        "stresses": stresses_text,
    },
    "docs/profiles.md": {"features": customers_text},
    "docs/weekly.md": {"cycle": cycle_text},
    "docs/price_list.md": {"price-list": price_list_text},
    "docs/scenario_files.md": {"sections": sections_text},
    "docs/serving.md": {
        "state": state_text,
        "answer": answer_text,
        "outcome": outcome_text,
        "settings": settings_text,
    },
}
"""Pages, their markers and what stands between these."""


def demo() -> None:
    """Run the demo (a finished one is read again) and write its output and the picture of its training."""
    command = [sys.executable, "-m", "repricer.cli", "demo", "--out", "demo"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    printed = "\n".join(line.rstrip().replace(" (already done)", "") for line in printed.strip().splitlines())
    between("README.md", "demo", f"```text\n{printed}\n```\n")
    run = json.loads((ROOT / "demo" / "run" / "run.json").read_text(encoding="utf-8"))
    plot = learning_plot(run["history"], run["facts"]["best"], objective="objective", unit="%")
    (ROOT / "docs" / "learning.svg").write_bytes(base64.b64decode(plot.source.partition(",")[2]))


SETUP = """
import os

for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
    os.environ.pop(name, None)
os.environ |= {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
"""
"""Runs before the first cell of a notebook: commands print as into a file, without colours and progress bars."""


def notebooks(*names: str) -> None:
    """Run the notebooks, each in a folder of its own, and keep their outputs."""
    import nbformat
    from nbclient import NotebookClient

    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for file in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        if names and file.stem not in names:
            continue
        notebook = nbformat.read(file, as_version=4)
        notebook.cells.insert(0, nbformat.v4.new_code_cell(SETUP))
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            where = {"metadata": {"path": folder}}
            client = NotebookClient(
                notebook, timeout=600, kernel_name="python3", resources=where, coalesce_streams=True
            )
            client.execute(env={**os.environ, "PATH": path})
        del notebook.cells[0]
        for cell in notebook.cells:
            cell.metadata = {}
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        notebook.metadata = {"language_info": {"name": "python"}}
        nbformat.write(notebook, file)
        print(f"  {file.name}: {time.perf_counter() - started:.0f} s", flush=True)


def main() -> None:
    """Update the tables, the demo's output and, where asked for, the notebooks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notebooks", action="store_true", help="run the notebooks again")
    parser.add_argument("--tables", action="store_true", help="the tables alone, which need no demo")
    options = parser.parse_args()
    for page, texts in PAGES.items():
        print(f"tables of {page}", flush=True)
        for marker, text in texts.items():
            between(page, marker, text())
    plot = ROOT / "runs" / "uplift" / "clean-12-free.svg"
    if plot.exists():  # `repricer bench uplift --truth clean --out runs/uplift` has run
        (ROOT / "docs" / "predicted_realised.svg").write_bytes(plot.read_bytes())
    if options.tables:
        return
    print("the demo (a minute or two, unless it has run before)", flush=True)
    demo()
    if options.notebooks:
        print("the notebooks", flush=True)
        notebooks()


if __name__ == "__main__":
    main()
