"""Smaller networks in the place of a learned one: a distilled network, a tree, a pruned network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from sklearn.tree import DecisionTreeRegressor, export_text

from ..envs import LearnerView, Market, catalogue_of, rollout, seed_for
from ..pricing import feature_names
from ..pricing.wording import feature_words
from .actor import Actor, RecurrentActor
from .cloning import minimise
from .logged_data import record_policy
from .networks import one_thread
from .run import Run

Method = Literal["small", "tree", "prune"]
METHODS: tuple[str, ...] = get_args(Method)
"""A smaller network, a decision tree, or the same network without its weakest units."""

_DISTURBANCE = 0.1  # of raw actions, whose range is 2
_EPOCHS = 40
_IMITATION_ROUNDS = 3
_RECORDED_EPISODES = 64
_BETWEEN = (torch.nn.ReLU, torch.nn.Tanh, torch.nn.ELU, torch.nn.LeakyReLU, torch.nn.Dropout, torch.nn.Identity)


class _TeacherRows(NamedTuple):
    features: torch.Tensor
    raw: torch.Tensor


def compressed(
    run: Run,
    method: str = "small",
    *,
    size: float = 0.1,
    leaves: int = 16,
    rows: int = 40_000,
    rounds: int = _IMITATION_ROUNDS,
    seed: int = 0,
    on_round: Callable[[int, int], None] = lambda *_: None,
) -> tuple[Run, str | None]:
    """The run with a smaller network that imitates its own, and the rules of a tree as text.

    The learned policy labels the states that it visits, some of them disturbed. Each further round
    adds the states that the student visits (Ross, Gordon and Bagnell 2011, A Reduction of Imitation
    Learning to No-Regret Online Learning); the student that earns most on the validation seeds is
    kept.

    Args:
        run: The run. Its network has no recurrent state; to be pruned, it is a plain chain of
            layers with continuous actions.
        method: One of `METHODS`.
        size: Largest number of parameters, as a share of the network's; not for a tree.
        leaves: Most leaves of a tree.
        rows: Number of rows to imitate in the first round.
        seed: Seed of the customers, and of the student's first weights.
        on_round: Called with the number of rounds done and the number of all.

    Raises:
        ValueError: The method does not exist or does not fit the network.

    Example:
        >>> from repricer import train
        >>> run = train("stationary-logit", steps=2_000, settings={"validation_episodes": 64})
        >>> student, _ = compressed(run, "small", rows=500, rounds=1)
        >>> parameters(student.actor) <= 0.1 * parameters(run.actor)
        True
    """
    _check(run, method, size)
    fit = {"small": _small, "tree": _tree, "prune": _pruned}[method]
    name = f"{run.facts.get('name', '{algo}:{seed}'.format_map(run.facts))}:{method}"
    limit = leaves if method == "tree" else size
    visited = states(run, run, rows, seed)
    found = None
    best = -np.inf
    with one_thread(), torch.random.fork_rng(devices=[]):
        for number in range(rounds):
            with torch.no_grad():
                known = _TeacherRows(visited, run.actor(visited).clip(-1.0, 1.0))
            torch.manual_seed(seed + number)
            actor, tree = fit(run, known, limit, seed + number)
            student = replace(run, actor=actor.eval(), facts=run.facts | {"name": name})
            earned = _validated(student, seed)
            if earned > best:
                found = (student, tree)
                best = earned
            on_round(number + 1, rounds)
            if number + 1 < rounds:
                visited = torch.cat([visited, states(run, student, rows // 2, seed + number + 1)])
    assert found is not None, "at least one round"
    student, tree = found
    return student, None if tree is None else rules_text(tree, student)


def parameters(actor: torch.nn.Module) -> int:
    """How many numbers a network or a tree holds."""
    trees = [module for module in actor.modules() if isinstance(module, TreeLayers)]
    weights = sum(weight.numel() for weight in actor.parameters())
    return weights + sum(2 * len(tree.feature) + tree.values.numel() for tree in trees)


def _check(run: Run, method: str, size: float) -> None:
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method}; choose one")
    if not 0 < size <= 1:
        raise ValueError(f"size must lie in (0, 1], a share of the network's parameters; got {size:g}; give 0.1")
    if isinstance(run.actor, RecurrentActor):
        raise ValueError(
            f"compression needs a policy without recurrent state; got {run.facts['algo']}; export it as it is"
        )
    if not any(True for _ in run.actor.parameters()):
        raise ValueError("compression needs a network; got a function; give a run of a torch module or an SB3 model")
    if method == "prune":
        _chain(run.actor)


def states(run: Run, visitor: Run, rows: int, seed: int) -> torch.Tensor:
    """(rows, F) features that a policy meets on the training seeds, in half of the markets disturbed.

    Args:
        run: The run whose network is to be asked about them.
        visitor: The run whose policy meets them.
        rows: Number of rows, or fewer where the markets have fewer.
        seed: Seed of customers and disturbance.
    """
    per_market = run.spec.market.horizon_periods * (len(run.base_price) if run.product_wise else 1)
    market = Market(run.spec, num_markets=int(np.clip(rows // per_market, 16, 1024)), seed=seed_for("training", seed))
    history = run.facts["settings"]["history"]
    view = LearnerView(market, product_wise=run.product_wise, base_price=run.base_price, base=run.base, history=history)
    log = record_policy(view, visitor.policy, disturbance=_DISTURBANCE, seed=seed)
    seen = log.features.reshape(-1, log.features.shape[-1])
    return torch.from_numpy(seen[np.random.default_rng(seed).permutation(len(seen))[:rows]])


def _validated(run: Run, seed: int) -> float:
    """Mean expected money of an episode on the validation seeds."""
    seed = seed_for("validation", seed)
    found = rollout(run.goal, run.policy, episodes=_RECORDED_EPISODES, seed=seed, expected=True, assumed=run.spec)
    return float(found.objective.mean())


def _small(run: Run, known: _TeacherRows, size: float, seed: int) -> tuple[Actor, None]:
    """Two equal hidden layers, as wide as the size allows."""
    inputs = known.features.shape[1]
    columns = known.raw.shape[1]
    most = size * parameters(run.actor)
    width = max(w for w in range(1, 513) if w == 1 or _count([inputs, w, w, columns]) <= most)
    first, middle, last = (torch.nn.Linear(*shape) for shape in ((inputs, width), (width, width), (width, columns)))
    net = torch.nn.Sequential(first, torch.nn.ReLU(), middle, torch.nn.ReLU(), last)
    x, y = (_scale(part) for part in known)
    scaled = _TeacherRows((known.features - x[0]) / x[1], (known.raw - y[0]) / y[1])
    _imitate(net, scaled, torch.ones(columns), seed)
    with torch.no_grad():  # the scaling becomes part of the outer layers
        first.weight.div_(x[1])
        first.bias.sub_(first.weight @ x[0])
        last.weight.mul_(y[1][:, None])
        last.bias.mul_(y[1]).add_(y[0])
    return Actor(net, None, columns), None


def _scale(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation by column; 1 where a column is constant."""
    deviation = values.std(dim=0)
    return values.mean(dim=0), torch.where(deviation > 1e-4, deviation, torch.ones(1))


def _imitate(net: torch.nn.Module, rows: _TeacherRows, deviation: torch.Tensor, seed: int) -> None:
    """Least squares, each column in units of its deviation."""
    minimise(
        lambda part: (((net(part.features) - part.raw) / deviation) ** 2).mean(), net.parameters(), rows, _EPOCHS, seed
    )


def _tree(run: Run, known: _TeacherRows, leaves: int, seed: int) -> tuple[Actor, DecisionTreeRegressor]:
    """A tree that is fitted to the raw action, each column in units of its deviation."""
    mean, deviation = (part.numpy() for part in _scale(known.raw))
    tree = DecisionTreeRegressor(max_leaf_nodes=max(int(leaves), 2), random_state=seed)
    tree.fit(known.features.numpy(), (known.raw.numpy() - mean) / deviation)
    values = tree.tree_.value  # pyright: ignore[reportAttributeAccessIssue]
    values[...] = values * deviation[:, None] + mean[:, None]
    return Actor(TreeLayers(tree), None, run.actor.columns), tree


def _pruned(run: Run, known: _TeacherRows, size: float, seed: int) -> tuple[Actor, None]:
    """The network without the units of the least weight (L2 norm), trained further."""
    actor = copy.deepcopy(run.actor)
    linear = _chain(actor)
    widths = [linear[0].in_features, *(layer.out_features for layer in linear)]
    shares = np.linspace(1.0, 0.0, 101)
    cut = [[widths[0], *(max(1, round(s * w)) for w in widths[1:-1]), widths[-1]] for s in shares]
    allowed = [plan for plan in cut if _count(plan) <= size * parameters(run.actor)]
    with torch.no_grad():
        for (layer, following), width in zip(pairwise(linear), (allowed or cut[-1:])[0][1:-1], strict=True):
            stays = layer.weight.norm(dim=1).topk(width).indices.sort().values
            layer.weight, layer.bias = (torch.nn.Parameter(part[stays].clone()) for part in (layer.weight, layer.bias))
            following.weight = torch.nn.Parameter(following.weight[:, stays].clone())
            layer.out_features = following.in_features = width
    actor.train()
    _imitate(actor, known, _scale(known.raw)[1], seed)
    return actor, None


def _chain(actor: Actor) -> list[torch.nn.Linear]:
    """The linear layers of a plain chain, in order."""
    leaves = [module for module in actor.layers.modules() if not any(True for _ in module.children())]
    at = [i for i, module in enumerate(leaves) if isinstance(module, torch.nn.Linear)]
    between = [module for module in leaves[at[0] : at[-1]] if not isinstance(module, torch.nn.Linear)] if at else []
    other = [type(module).__name__ for module in between if not isinstance(module, _BETWEEN)]
    if actor.counts is not None or len(at) < 2 or other:
        got = "discrete actions" if actor.counts is not None else ", ".join(other) or f"{len(at)} linear layers"
        raise ValueError(f"prune needs linear layers and continuous actions; got {got}; use the method small or tree")
    return [module for module in leaves if isinstance(module, torch.nn.Linear)]


def _count(widths: Sequence[int]) -> int:
    """Parameters of a chain of linear layers of these widths."""
    return sum((before + 1) * after for before, after in pairwise(widths))


# A decision tree as a network of matrix products, and as text that a manager can read.


class TreeLayers(torch.nn.Module):
    """A fitted tree as comparisons and one matrix product, which every ONNX runtime has.

    The GEMM strategy of Nakandala et al. (2020), A Tensor Compiler for Unified Machine Learning
    Prediction Serving: a leaf counts the splits on its path that a row takes to the right, less
    those that it should not; the count is highest for the row's own leaf.
    """

    feature: torch.Tensor
    threshold: torch.Tensor
    path: torch.Tensor
    rights: torch.Tensor
    values: torch.Tensor

    def __init__(self, tree: DecisionTreeRegressor) -> None:
        super().__init__()
        nodes: Any = tree.tree_
        split = np.flatnonzero(nodes.children_left >= 0)
        leaves = np.flatnonzero(nodes.children_left < 0)
        path = np.zeros((max(len(split), 1), len(leaves)), np.float32)
        for i, node in enumerate(split):
            path[i, np.isin(leaves, _below(nodes, nodes.children_right[node]))] = 1.0
            path[i, np.isin(leaves, _below(nodes, nodes.children_left[node]))] = -1.0
        # A tree of a single leaf keeps one comparison, which decides nothing.
        split = split if len(split) else np.zeros(1, np.intp)
        threshold = nodes.threshold[split].astype(np.float32)
        # Rounded down, a row lies on the same side as in double precision.
        over = threshold > nodes.threshold[split]
        threshold[over] = np.nextafter(threshold[over], np.float32(-np.inf))
        self.register_buffer("feature", torch.from_numpy(np.maximum(nodes.feature[split], 0)).long())
        self.register_buffer("threshold", torch.from_numpy(threshold))
        self.register_buffer("path", torch.from_numpy(path))
        self.register_buffer("rights", torch.from_numpy((path > 0).sum(axis=0).astype(np.float32)))
        self.register_buffer("values", torch.from_numpy(nodes.value[leaves, :, 0].astype(np.float32)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(rows, F) to the values of each row's leaf, (rows, columns)."""
        right = (features.index_select(1, self.feature) > self.threshold).float()
        return torch.nn.functional.embedding((right @ self.path - self.rights).argmax(dim=1), self.values)


def _below(nodes: Any, node: int) -> list[int]:
    """A node and all nodes below it."""
    left = nodes.children_left[node]
    right = nodes.children_right[node]
    return [node] if left < 0 else [*_below(nodes, left), *_below(nodes, right)]


def rules_text(tree: DecisionTreeRegressor, run: Run) -> str:
    """The tree as indented rules, whose leaves hold decoded prices, discounts and scores.

    Args:
        tree: A tree of the run's raw actions; its values are decoded in place.
    """
    catalogue = catalogue_of(run.spec)
    layout = run.layout
    alone = run.product_wise or catalogue.num_products == 1
    products = [""] if alone else [f"{name}: " for name in catalogue.products]
    periods = range(run.facts["settings"]["history"] - 1, -1, -1)
    inputs = [
        product + feature_words(name) + (f", {ago} periods ago" if ago else "")
        for ago in periods
        for product in products
        for name in feature_names(catalogue, fixed=run.product_wise)
    ]
    values: Any = tree.tree_.value  # pyright: ignore[reportAttributeAccessIssue]
    parts = layout.decode(values.reshape(len(values), len(products), layout.size))
    decoded = [part.reshape(*values.shape[:1], len(products), -1) for part in parts if part is not None]
    values[...] = np.concatenate(decoded, axis=2).reshape(values.shape)
    columns = [
        product + name.replace("_", " ") + (f" ({segment})" if segment else "")
        for product in products
        for name in layout.names
        for segment in (catalogue.segments if name in ("discount", "recommendation") else [None])
    ]
    text = export_text(tree, feature_names=inputs, decimals=3, max_depth=1000)
    head = "\n".join(f"  {i}. {name}" for i, name in enumerate(columns, 1))
    return (
        f"{run.facts['name']} for {run.spec.name}. The conditions are on what the network sees, mostly logarithms of ratios: 0 means "
        "equal, 0.1\nabout 10% more. The price multiplier is over the base price. A leaf holds, in this order:\n"
        f"{head}\n\n{text}"
    )
