"""A policy bundle, read and verified whole before it is used: its policy, its price response, the range that training knew
and golden states with their prices. No torch, no pickle.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...pricing import (
    Action,
    Catalogue,
    ChargedRange,
    ChoiceModel,
    Guardrails,
    NetworkPolicy,
    RecurrentPolicy,
    feature_names,
    feature_rows,
)
from ...pricing.choice_model import FAMILIES
from ...pricing.features import MOST_COVER, feature_constants
from ...pricing.wording import feature_words
from ..actions import ordered, promoted
from ..documents import FilePath, some_of
from ..market_state import State, market_view
from ..product_prices import ORDERS
from ..recurrent_state import MEMORY, RecurrentText
from ..sample_states import example_state, random_states
from .codec import FEATURES, MOST, NetworkFunction, PolicySetup, arrays, refusal, setup_from
from .files import (
    CATALOGUE,
    GOLDEN,
    GUARDRAILS,
    MANIFEST,
    POLICY,
    RANGE,
    RESPONSE,
    BundleError,
    open_seal,
    read_files,
    read_json,
    read_public_key,
    sha256,
)
from .onnx_session import OnnxNetwork

SCHEMA_VERSION = 4
Array = NDArray[np.float64]
_RANGE_SLACK = 0.05
_LEAST_RANGE = 1e-4
ALARM_SHARE = 0.05
ALARM_ROWS = 100
_ALARM_WINDOW = 1000
_CHECKED_STATES = 12
_CHECKED_MARKETS = 4
_NOTES = "notes"
# Both tolerances, because a discount or a score may be close to 0; every output is of order one.
_RELATIVE = _ABSOLUTE = 1e-5
# A fraction half-way between two whole orders may round differently on another processor.
_UNIT_TOLERANCE = 1.0


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified policy with everything that it needs to price.

    Attributes:
        policy: Proposes prices; its name is that of the training run.
        guardrails: The price rules, which turn proposals into allowed prices.
        catalogue: The products and segments.
        candidates: (K, N) whether a product may fill a segment's slot; None without slots.
        most_promoted: Products on promotion at once; None without promotions.
        memory: The text form of the recurrent state.
        response: The expected purchases at given prices; None where another package defines the
            scenario's demand.
        seen: The range of the features in simulation.
        charged: The prices that the shop charged in the past; None where the bundle does not say.
        scenario: Name and version.
        manifest: Origin and evaluation of the policy.
        digest: SHA-256 of the manifest, which identifies the bundle.
        trust: "pinned" if the given public key signed it, "self-signed" if its own key only shows
            that it is unchanged.

    Example:
        >>> load_bundle("bundle").trust
        'self-signed'
    """

    policy: NetworkPolicy | RecurrentPolicy
    guardrails: Guardrails
    catalogue: Catalogue
    candidates: NDArray[np.bool_] | None
    most_promoted: int | None
    memory: RecurrentText
    response: ChoiceModel | None
    seen: TrainingRange
    charged: ChargedRange | None
    scenario: str
    manifest: dict[str, Any]
    digest: str
    trust: Literal["pinned", "self-signed"]

    @property
    def jurisdictions(self) -> tuple[str, ...]:
        """Those for which it was made, by the law of its price rules; none in one that does not say."""
        return () if self.guardrails.law is None else self.guardrails.law.jurisdictions

    def check_made_for(self, jurisdictions: Sequence[str]) -> None:
        """Raise BundleError unless it was made for all of these jurisdictions."""
        if set(jurisdictions) - set(self.jurisdictions):
            wanted = ", ".join(jurisdictions)
            got = ", ".join(self.jurisdictions) or "none"
            fix = "name them under [law] in its market and export it again"
            raise BundleError(f"a bundle must be made for the jurisdictions of the service, {wanted}; got {got}; {fix}")

    @property
    def example(self) -> dict[str, Any]:
        """An `example_state` within the training range: with unlimited stock where that is all that
        the policy knows, and no more than it knows.
        """
        most = self.seen.most_stock(self.catalogue)
        return example_state(self.catalogue, unlimited=self.seen.unlimited_stock, most=most)


def load_bundle(path: FilePath, *, public_key: FilePath | None = None) -> Bundle:
    """Load and verify a bundle: its files, their hashes, the signature, the network, the golden
    vectors.

    Args:
        path: Folder of the bundle.
        public_key: PEM file of the key that must have signed the bundle. Without one, anyone may
            have made it.

    Raises:
        BundleError: The bundle cannot be read or trusted; a ValueError with one line.

    Example:
        >>> bundle = load_bundle("bundle", public_key="bundle.pub.pem")
        >>> bundle.trust
        'pinned'
    """
    folder = Path(path)
    pinned = None if public_key is None else read_public_key(Path(public_key))
    files = read_files(folder)
    try:
        manifest = open_seal(files, pinned)
        if manifest["schema_version"] != SCHEMA_VERSION:
            got = f"got {manifest['schema_version']!r}; export it again from its run"
            raise BundleError(f"{MANIFEST}: schema_version must be {SCHEMA_VERSION}; {got}")
        if datetime.fromisoformat(manifest["created"]).tzinfo is None:
            raise BundleError(f"{MANIFEST}: created must have a time zone; got {manifest['created']}; export it again")
        setup = setup_from(read_json(files[CATALOGUE]), read_json(files[GUARDRAILS]))
        network = OnnxNetwork(files[POLICY], setup)
        memory = setup.memory_text(sha256(files[POLICY]))
        scenario = "{name}:{version}".format_map(manifest["scenario"])
        response = read_response(read_json(files[RESPONSE]), setup.catalogue)
        seen = read_range(read_json(files[RANGE]), setup.catalogue)
        charged = _charged(manifest, len(setup.catalogue.products))
        check_golden(read_json(files[GOLDEN]), setup, network, memory)
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from error
    except Exception as error:
        # Any error here comes from the content of the files; ONNX Runtime's errors, for one, share
        # no base class.
        got = f"got {type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        raise BundleError(f"{folder} must be a bundle that repricer wrote; {got}; export it again") from error
    own = (setup.guardrails, setup.catalogue, setup.candidates, setup.most_promoted, memory, response, seen, charged)
    trust = "self-signed" if pinned is None else "pinned"
    policy = setup.policy(str(manifest["policy"]), network)
    return Bundle(policy, *own, scenario, manifest, sha256(files[MANIFEST]), trust)


def _charged(manifest: dict[str, Any], products: int) -> ChargedRange | None:
    """The charged prices of a manifest; None where the market knows none."""
    if manifest["charged"] is None:
        return None
    shapes = {"low": "N", "high": "N"}
    least = {"low": -MOST, "high": -MOST}
    found = arrays(f"{MANIFEST}, charged", manifest["charged"], shapes, {"N": products}, np.float64, least=least)
    return ChargedRange(found["low"], found["high"])


# The choice model that a bundle carries, read from its document; it needs numpy alone.


def read_response(document: dict[str, Any] | None, catalogue: Catalogue) -> ChoiceModel | None:
    """The choice model of a bundle.

    Args:
        document: the parsed `response.json`; None where the market's demand family
            is an extension's.
        catalogue: gives the sizes that the arrays must have.

    Returns:
        The model, or None where there is no document.

    Raises:
        BundleError: keys, shapes or numbers are not those of a choice model. Other faults raise
            ValueError or TypeError.
    """
    if document is None:
        return None
    # Bundles of releases before the scale was there say nothing of it.
    document = {"saturating_reference": False, **document}
    flags = {name: document[name] for name in ("linear_reference", "saturating_reference", "single")}
    if document["family"] not in FAMILIES or not all(type(flag) is bool for flag in flags.values()):
        raise refusal(RESPONSE, "must be a choice model that is known; got another")
    sizes = {"N": catalogue.num_products, "K": catalogue.num_segments, "T": catalogue.horizon}
    sizes |= {"C": len(document["rate"]), "R": len(document["rivals_regular"]), "Z": len(document["regime_utility"])}
    sizes["J"] = len(document["nesting"]) if np.size(document["nest"]) else sizes["C"]
    least = dict.fromkeys(_SHAPES, -MOST)
    found = arrays(RESPONSE, document, _SHAPES, sizes, np.float64, least=least, empty=_OPTIONAL)
    for name, letter in (("category", "C"), ("nest", "J"), ("rival_category", "C"), ("rivals_product", "N")):
        found[name] = found[name].astype(np.intp)
        if not ((found[name] >= 0) & (found[name] < sizes[letter])).all():
            raise refusal(RESPONSE, f"{name} must hold numbers below {sizes[letter]}; got others")
    return ChoiceModel(**{**document, **found})


_OPTIONAL = (
    *("quality_path", "gain", "loss", "promotion", "lift", "strategic_share", "patience", "nesting", "nest"),
    *("curvature", "regular", "units_gain", "units_loss"),
)
"""Arrays that are empty where their section is off."""
_SHAPES = {
    **dict.fromkeys(("category", "curvature", "regular", "gain", "loss", "units_gain", "units_loss"), "N"),
    **dict.fromkeys(("overdispersion", "nest"), "N"),
    **dict.fromkeys(("quality", "sensitivity", "promotion"), "KN"),
    **dict.fromkeys(("rate", "season", "path"), "CT"),
    **dict.fromkeys(("lift", "strategic_share", "patience"), "K"),
    **dict.fromkeys(("rival_category", "rivals_product", "rivals_regular"), "R"),
    **dict.fromkeys(("rival_quality", "rival_sensitivity"), "KR"),
    **dict.fromkeys(("regime_utility", "regime_sensitivity", "regime_arrivals"), "Z"),
    **{"quality_path": "NT", "share": "CK", "regime_share": "TZ", "nesting": "J"},
}


# The range of the features in simulation, and an alarm for served markets that leave it.


@dataclass(frozen=True, eq=False)
class TrainingRange:
    """Lowest and highest value of each feature that changes, (F,) each, in the order of `names`."""

    names: tuple[str, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def unlimited_stock(self) -> bool:
        """Whether stock never limited sales in simulation."""
        return bool(self.low[self.names.index("log_stock_cover")] >= MOST_COVER)

    def most_stock(self, catalogue: Catalogue) -> NDArray[np.float64]:
        """(N,) most units on hand in the first period, with none on order, whose features lie within the range."""
        c = feature_constants(catalogue)
        most = np.full(catalogue.num_products, np.inf)
        for name, high in zip(self.names, self.high, strict=True):
            if high < MOST_COVER and name.startswith(("log_stock_cover", "log_position_cover", "log_cover[")):
                forecast = c.log_ahead[0] if name == "log_stock_cover" else c.log_now[0]
                most = np.minimum(most, np.expm1(high + forecast))
        return np.maximum(most, 0.0)

    def outside(
        self, features: NDArray[np.float32], *, slack: float = _RANGE_SLACK, least: float = _LEAST_RANGE
    ) -> NDArray[np.bool_]:
        """Which features lie beyond the range.

        Args:
            features: (E, N, F or more) of `product_features`, whose first F columns are those of
                `names`.
            slack: Share of its width that they may lie beyond it.
            least: How far they may lie beyond it in any case.

        Returns:
            (E, N, F) booleans.
        """
        seen = features[..., : len(self.names)]
        allowed = slack * (self.high - self.low) + least
        return (seen < self.low - allowed) | (seen > self.high + allowed)

    def warnings(self, outside: NDArray[np.bool_], products: Sequence[str]) -> list[str]:
        """One line for each feature of a market that lies outside the range.

        Args:
            outside: (N, F) booleans, one market of `outside`.
            products: N names.
        """
        found = [(f, np.flatnonzero(outside[:, f]).tolist()) for f in np.flatnonzero(outside.any(axis=0)).tolist()]
        named = [(feature_words(self.names[f]), some_of([repr(products[n]) for n in own])) for f, own in found]
        return [f"{words} ({names}) lies outside the training range" for words, names in named]


def read_range(document: dict[str, Any], catalogue: Catalogue) -> TrainingRange:
    """The range of a document. Raises BundleError, KeyError or ValueError for a wrong one."""
    names = tuple(feature_names(catalogue, fixed=False))
    low, high = (np.array(document[key], dtype=np.float64) for key in ("low", "high"))
    if tuple(document["features"]) != names or low.shape != (len(names),) or not (low <= high).all():
        raise BundleError(f"{RANGE} must hold a range of {', '.join(names)}; got another; export it again")
    return TrainingRange(names, low, high)


class DriftAlarm:
    """Share of about the last thousand products that were outside the training range, by feature.

    The share is an exponential average. The alarm is on while more than `ALARM_SHARE` of at least
    `ALARM_ROWS` products are outside.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._lock = threading.Lock()
        self._rows = 0.0
        self._outside = np.zeros(len(names))

    def add(self, outside: NDArray[np.bool_]) -> None:
        """Add markets of products, (E, N, F) booleans."""
        flat = outside.reshape(-1, len(self._names))
        with self._lock:
            kept = (1 - 1 / _ALARM_WINDOW) ** len(flat)
            self._rows = kept * self._rows + len(flat)
            self._outside = kept * self._outside + flat.sum(axis=0)

    @property
    def shares(self) -> dict[str, float]:
        """Share outside the range, by feature."""
        with self._lock:
            return dict(zip(self._names, (self._outside / max(self._rows, 1.0)).round(4).tolist(), strict=True))

    @property
    def alarms(self) -> list[str]:
        """Features whose alarm is on."""
        if self._rows < ALARM_ROWS:
            return []
        return [name for name, share in self.shares.items() if share > ALARM_SHARE]


def golden_states(setup: PolicySetup, network: NetworkFunction, memory: RecurrentText, seed: int) -> dict[str, Any]:
    """A dozen rows of features with the network's outputs, and whole markets with their answers.

    A policy with recurrent state gets those markets as the first periods of one market, one after
    the other.

    Args:
        memory: The text form of the recurrent state.
        seed: Selects the market states.
    """
    catalogue = setup.catalogue
    states = random_states(catalogue, setup.guardrails, _CHECKED_STATES, seed)
    tables = [feature_rows(market_view(catalogue, state), product_wise=setup.product_wise) for state in states]
    # Product-wise, another product of each market.
    rows = np.stack([table[number % len(table)] for number, table in enumerate(tables)])
    notes = ()
    if setup.memory is not None:
        # The state after another row: an initial state would test little.
        notes = network(rows[::-1].copy(), setup.memory.initial_state(rows[::-1]))[1]
    parts, renewed = network(rows, notes)
    markets = []
    text = None
    for number, state in enumerate(states[:_CHECKED_MARKETS]):
        if setup.memory is not None:
            period = number % catalogue.horizon
            state |= {"period": period, MEMORY: text if period else None}
        answer, text = _answer(setup, network, memory, state)
        markets.append({"state": state, **answer})
    outputs = {name: part.tolist() for name, part in parts._asdict().items() if part is not None}
    before, after = ([note.tolist() for note in state] for state in (notes, renewed))
    return {FEATURES: rows.tolist(), _NOTES: before, "outputs": outputs, "renewed": after, "markets": markets}


def check_golden(document: dict[str, Any], setup: PolicySetup, network: NetworkFunction, memory: RecurrentText) -> None:
    """Check that network, features and price rules answer as they did at the export.

    The rules are applied to the recorded proposal: a proposal half-way between two steps of the
    ladder may round differently on another processor, which is no error.

    Raises:
        BundleError: An answer differs.
    """
    notes = tuple(np.array(note, dtype=np.float32) for note in document[_NOTES])
    parts, renewed = network(np.array(document[FEATURES], dtype=np.float32), notes)
    for name in setup.layout.names:
        _compare(name, getattr(parts, name), document["outputs"][name])
    for got, wanted in zip(renewed, document["renewed"], strict=True):
        _compare("memory", got, wanted)
    for market in document["markets"]:
        got, _ = _answer(setup, network, memory, market["state"], market["proposed"])
        for name, wanted in got.items():
            _compare(name, wanted, market[name], _UNIT_TOLERANCE if name in ORDERS else _ABSOLUTE)


def _answer(
    setup: PolicySetup, network: NetworkFunction, memory: RecurrentText, state: State, recorded: Any = None
) -> tuple[dict[str, list[Any]], str | None]:
    """The answer for one market and the text of its recurrent state; the rules apply to `recorded`, where given."""
    view = market_view(setup.catalogue, state)
    period = int(view.period[0])
    policy = setup.policy("golden", network)
    before = memory.read(state.get(MEMORY), period)
    action, notes = policy.answer(view, before) if isinstance(policy, RecurrentPolicy) else (policy.act(view), ())
    proposed = action.price[0].tolist()
    price = np.array([proposed if recorded is None else recorded], dtype=np.float32)
    answer = {"proposed": proposed, "price": setup.guardrails.apply(Action(price), view).price[0].tolist()}
    if action.promotion is not None and setup.most_promoted is not None:
        answer["promotion"] = promoted(action.promotion[0], setup.most_promoted).tolist()
    for name, units in zip(ORDERS, ordered(action, setup.catalogue), strict=True):
        if units is not None:
            answer[name] = units[0].tolist()
    return answer, memory.write(notes, period) if notes else None


def _compare(name: str, got: Any, wanted: Any, absolute: float = _ABSOLUTE) -> None:
    got = np.asarray(got, dtype=np.float32)
    wanted = np.array(wanted, dtype=np.float32)
    if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=_RELATIVE, atol=absolute):
        differs = "this machine's ONNX Runtime or repricer answers differently"
        fix = "export it again with these versions"
        raise BundleError(f"{GOLDEN} must be reproduced; got another {name}: {differs}; {fix}")
