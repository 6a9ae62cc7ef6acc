"""What a price experiment is worth: the expected value of its reading, and what it costs, by posterior simulation.

After an experiment, the prices of a category are chosen with its reading; without it, they are the best for the mean of
the posterior draws. The difference of what both earn is the expected value of sample information (Raiffa and Schlaifer
1961, Applied Statistical Decision Theory, part I), which for one experiment more is the knowledge gradient (Frazier,
Powell and Dayanik 2009, The knowledge-gradient policy for correlated normal beliefs, INFORMS Journal on Computing 21(4)).

Weighting draws by the likelihood of a reading fails where it is precise: one of few draws then has all the weight, and
the value comes out as that of perfect information. As Strong, Oakley, Brennan and Breeze do (2015, Estimating the expected
value of sample information using the probabilistic sensitivity analysis sample, Medical Decision Making 35(5)), money is
regressed on the readings over the draws; the regression is the linear Bayes rule, whose moments hold the noise exactly.
Its value is taken on draws that it was not fitted on, so that it is the value of a rule that a shop could follow, and few
draws do not flatter it. For the alternatives see Heath, Manolopoulou and Baio (2017, A review of methods for analysis of the
expected value of information, Medical Decision Making 37(7)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ...evaluation.uncertainty.draws import charged_range, draw_numbers
from ...evaluation.what_if import course_units
from ...scenarios import MarketSpec, goal_market
from ...scenarios.periods import planned_prices, simulated_prices
from ...scenarios.planned_deals import course_of

Array = NDArray[np.float64]
# Weeks in which the prices that were learned are charged.
USE_WEEKS = 26
_SEARCHED_DRAWS = 24
_GRIDS = np.linspace(0.75, 1.25, 11), np.linspace(0.95, 1.05, 5)
_FOLDS = 5
_REPEATS = 8
_WORST = 0.95
# 5% and 95% of published own-price elasticities of brands, log-normal with the median 2.22 and the mean 2.62 of Bijmolt, van
# Heerde and Pieters (2005), New Empirical Generalizations on the Determinants of Price Elasticity, Journal of Marketing
# Research 42(2): what may hold where no price was charged.
_LEAST_ELASTIC = 0.9
_MOST_ELASTIC = 5.7


class PriceTest(NamedTuple):
    """A change of the prices of some products of a category.

    Args:
        products: Numbers of the products.
        price: (T, n) their test prices in the periods of the market, currency per unit.
        name: Name of the group that they are.
        divided: How their category is divided: `products`, `halves`, or not, `category`.

    Example:
        >>> PriceTest((0,), np.full((4, 1), 2.1)).products
        (0,)
    """

    products: tuple[int, ...]
    price: Array
    name: str = ""
    divided: str = "products"


class ExperimentValue(Struct, frozen=True):
    """What an experiment is worth, in money of the market's objective, currency.

    Args:
        information: Expected value of its reading over the weeks of use (EVSI).
        perfect_information: The same if it left nothing uncertain (EVPI), the upper limit.
        cost: Expected loss in its weeks against planned prices; below zero for a gain.
        money_at_risk: That loss in the worst 5% of the posterior draws, at least, and what the steps beyond what was charged
            lose where customers answer to them as unfavourably as in 5% of published findings.
        net_low: 5% quantile, over draws and readings, of what it adds in the weeks of use, less its loss.
        net_high: 95% quantile.
        use_weeks: Weeks of use.

    Example:
        >>> ExperimentValue(90.0, 200.0, 20.0, 35.0, -40.0, 300.0, 26).net
        70.0
    """

    information: float
    perfect_information: float
    cost: float
    money_at_risk: float
    net_low: float
    net_high: float
    use_weeks: int

    @property
    def net(self) -> float:
        """Expected value less cost; what the test prices are expected to gain they would gain without a test, too."""
        return self.information - max(self.cost, 0.0)


@dataclass(frozen=True)
class DrawnOutcomes:
    """What tests would read and cost, and what candidate prices would earn, under each of M posterior draws.

    Attributes:
        category: (O,) number of the category of each test.
        money: (M, J, C) money of candidate prices over the weeks of use, by category; the first are the planned prices.
        responses: (M, O, 2) change of log units of the tested products, and of the others of their category, 0 without any.
        losses: (M, O) money that a test loses against the planned prices if all stores charge it in all test weeks.
        planned: (M,) money of the planned prices in the test weeks.
        use_weeks: Weeks of use.
        seed: Seed of the noise.
        unknown: (O,) money that the part of each test beyond what was charged loses at unfavourable elasticities, if all
            stores charge it; the posterior says nothing of it.
    """

    category: NDArray[np.intp]
    money: Array
    responses: Array
    losses: Array
    planned: Array
    use_weeks: int
    seed: int
    unknown: Array | float = 0.0

    def information(self, category: int, tests: Sequence[int], errors: Array) -> Array:
        """(R, M) what a category's prices, chosen after a reading, earn more than those chosen without it.

        Args:
            category: Its number.
            tests: Numbers of tests of its products that are run together.
            errors: (O, 2) standard errors of the readings, log units.
        """
        chosen = list(tests)
        draws = len(self.losses)
        # The same noise and parts of the draws in every comparison.
        noise = [np.random.default_rng((self.seed, test)).standard_normal((_REPEATS, draws, 2)) for test in chosen]
        folds = np.random.default_rng(self.seed).permutation(draws) % _FOLDS
        readings = self.responses[:, chosen].reshape(draws, -1)
        money = self.money[..., category]
        return gains_after_reading(money, readings, errors[chosen].ravel(), np.concatenate(noise, axis=-1), folds)


def gains_after_reading(money: Array, readings: Array, errors: Array, noise: Array, folds: NDArray[np.intp]) -> Array:
    """(R, M) money that the choice after a noisy reading earns beyond the best choice without one.

    The choice is by the linear Bayes rule: E[money | x] = mean + Cov(money, y) (Cov(y) + S)^-1 (x - mean of y), fitted on
    the draws of the other parts. The mean of the result is the expected value of sample information.

    Args:
        money: (M, J) money of each choice under each draw.
        readings: (M, R') what would be read without noise, y.
        errors: (R',) standard errors of the readings; S is diagonal.
        noise: (R, M, R') standard normal noise.
        folds: (M,) the part of the draws that each belongs to.

    Example:
        >>> random, draws = np.random.default_rng(0), 4000
        >>> effect = random.standard_normal((draws, 1))
        >>> money, noise = np.hstack([0 * effect, effect]), random.standard_normal((4, draws, 1))
        >>> gains = gains_after_reading(money, effect, np.ones(1), noise, np.arange(draws) % 5)
        >>> bool(abs(gains.mean() - np.sqrt(0.5 / (2 * np.pi))) < 0.02)  # half of the variance is learned
        True
    """
    gains = money - money[:, [int(money.mean(axis=0).argmax())]]
    used = (errors > 0) & (np.ptp(readings, axis=0) > 0)
    readings = readings[:, used]
    errors = errors[used]
    noise = noise[..., used]
    found = np.zeros((len(noise), len(money)))
    for fold in np.unique(folds) if used.any() else ():
        own = folds == fold
        rest = folds != fold
        centre = readings[rest].mean(axis=0)
        mean = gains[rest].mean(axis=0)
        apart = readings[rest] - centre
        joint = apart.T @ apart / len(apart) + np.diag(errors**2)
        rule = np.linalg.solve(joint, apart.T @ (gains[rest] - mean) / len(apart))
        expected = mean + (readings[own] + errors * noise[:, own] - centre) @ rule
        found[:, own] = np.take_along_axis(gains[own][None], expected.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    return found


def value_of_experiment(
    outcomes: DrawnOutcomes, tests: Sequence[int], errors: Array, share: Array | float = 0.5
) -> ExperimentValue:
    """What tests that are run together are worth.

    Args:
        outcomes: What they come to under posterior draws.
        tests: Their numbers.
        errors: (O, 2) standard errors of the readings, log units, as `DrawnOutcomes.responses`.
        share: (O,) share of the sales of the test weeks that is sold at the test prices, or one for all.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.scenarios.sections import Posterior
        >>> factors = np.exp(0.3 * np.random.default_rng(0).standard_normal((60, 1)))
        >>> spec = load_scenario("stationary-logit")
        >>> spec = replace(spec, posterior=Posterior(draws=60, arrivals=1.0, sensitivity=factors))
        >>> outcomes = drawn_outcomes(spec, [PriceTest((0,), 1.1 * planned_prices(spec))], weeks=4)
        >>> vague, sharp = (value_of_experiment(outcomes, [0], np.full((1, 2), error)) for error in (10.0, 0.01))
        >>> vague.information < sharp.information <= sharp.perfect_information
        True
    """
    chosen = list(tests)
    gains = 0.0
    perfect = 0.0
    for category in range(outcomes.money.shape[-1]):
        money = outcomes.money[..., category]
        perfect += float(money.max(axis=1).mean() - money.mean(axis=0).max())
        if own := [test for test in chosen if outcomes.category[test] == category]:
            gains = gains + outcomes.information(category, own, errors)
    shares = np.broadcast_to(share, outcomes.category.shape)[chosen]
    loss = outcomes.losses[:, chosen] @ shares
    low, high = np.quantile(gains - loss, (1 - _WORST, _WORST))
    unknown = np.broadcast_to(outcomes.unknown, outcomes.category.shape)[chosen]
    at_risk = max(float(np.quantile(loss, _WORST)), 0.0) + float(unknown @ shares)
    expected = max(float(np.mean(gains)), 0.0)
    return ExperimentValue(expected, perfect, float(loss.mean()), at_risk, float(low), float(high), outcomes.use_weeks)


def drawn_outcomes(
    spec: MarketSpec, tests: Sequence[PriceTest], *, weeks: int, use_weeks: int = USE_WEEKS, seed: int = 0
) -> DrawnOutcomes:
    """What tests and candidate prices come to under each posterior draw of a market.

    Candidates are the planned prices, and the planned prices of each product times a factor that is best under the mean
    of the draws or under one of some: deals stay as they are planned, since the tests say nothing of them. Money is that
    of the market's objective; where that is revenue that must not cost profit, of `scenarios.goal_market`.

    Args:
        spec: A market with a posterior.
        tests: The changes; each product belongs to one category.
        weeks: Periods of the experiment, from the first of the market on.
        use_weeks: Weeks over which the prices that were learned are charged.
        seed: Seed of the noise.

    Raises:
        ValueError: The market has no posterior, or fewer periods than the experiment.
    """
    if not spec.num_draws:
        raise ValueError(f"an experiment needs a market fitted on data; got {spec.name}; `repricer fit` makes one")
    if not 1 <= weeks <= spec.market.horizon_periods:
        must = f"weeks must lie in 1 to {spec.market.horizon_periods}, those of {spec.name}"
        raise ValueError(f"{must}; got {weeks}; run it shorter, or fit a market of more weeks")
    shop = _CourseMoney(spec)
    numbers = draw_numbers(spec)
    searched = [numbers[i] for i in np.unique(np.linspace(0, len(numbers) - 1, _SEARCHED_DRAWS).astype(int))]
    best = {shop.best(market).tobytes(): 0 for market in (spec, *map(spec.draw, searched))}
    factors = np.stack([np.ones(shop.planned.shape[1]), *map(np.frombuffer, best)])
    candidates = shop.paths(factors)
    category = np.array([spec.category_index[test.products[0]] for test in tests])
    turn = [int((category[:number] == one).sum()) for number, one in enumerate(category)]
    place = 1 + np.array(turn, int)
    own = np.zeros((len(tests), shop.planned.shape[1]))
    tried = np.repeat(shop.planned[None], 1 + max(place, default=0), axis=0)
    for row, test, each in zip(place, tests, own, strict=True):
        tried[row, :, list(test.products)] = test.price.T
        each[list(test.products)] = 1.0
    scale = use_weeks / len(shop.planned)
    money = []
    responses = []
    losses = []
    planned = []
    for m in numbers:
        draw = spec.draw(m)
        money.append(scale * shop.money(draw, candidates, shop.units(draw, candidates)).sum(axis=1))
        units = shop.units(draw, tried)[:, :weeks]
        earned = shop.money(draw, tried, units).sum(axis=1)
        sold = units.sum(axis=1)
        # At planned and at test prices, of the tested products and of the others of their category.
        tested = np.stack([own @ sold[0], (own * sold[place]).sum(axis=1)])
        whole = (sold @ shop.member)[[np.zeros_like(place), place], category]
        both = np.stack([tested, whole - tested], axis=-1)
        responses.append(np.where(both.min(axis=0) > 1e-9, np.diff(np.log(np.maximum(both, 1e-9)), axis=0)[0], 0.0))
        losses.append(earned[0, category] - earned[place, category])
        planned.append(earned[0].sum())
    arrays = (np.stack(rows) for rows in (money, responses, losses, planned))
    unknown = np.array([shop.loss_beyond(test, weeks) for test in tests])
    return DrawnOutcomes(category, *arrays, use_weeks=use_weeks, seed=seed, unknown=unknown)


def known_range(spec: MarketSpec) -> tuple[Array, Array] | None:
    """(T, N) the lowest and the highest prices that were mostly charged or are planned; None where the market does not say.

    Args:
        spec: A market.

    Example:
        >>> from repricer import load_scenario
        >>> known_range(load_scenario("stationary-logit")) is None
        True
    """
    charged = charged_range(spec)
    planned = planned_prices(spec)
    return None if charged is None else (np.minimum(charged.low, planned), np.maximum(charged.high, planned))


class _CourseMoney:
    """Units and money of courses of prices in a market."""

    def __init__(self, spec: MarketSpec) -> None:
        self.spec = spec
        self.planned = planned_prices(spec)
        self.goal = goal_market(spec)
        self.member = np.eye(len(spec.category_names))[spec.category_index]

    def paths(self, factors: Array) -> Array:
        """(B, T, N) planned prices times factors (B, N), within the price rules."""
        rules = self.spec.guardrails
        moved = np.clip(self.planned * factors[:, None], rules.low, rules.high)
        return np.where((factors == 1)[:, None] | rules.held, self.planned, moved)

    def units(self, draw: MarketSpec, paths: Array) -> Array:
        """(B, T, N) expected units of courses of prices under a draw."""
        price = simulated_prices(self.spec, paths)
        return course_units(self.spec, draw, price, course_of(self.spec, price)).sum(axis=2)

    def money(self, draw: MarketSpec, paths: Array, units: Array) -> Array:
        """(B, W, C) money of the first W periods, by category."""
        weeks = units.shape[1]
        margin = self.spec.products.net(paths[:, :weeks])
        funding = 0.0
        if self.goal.market.objective == "profit":
            margin = margin - (draw if self.goal is self.spec else self.goal).products.unit_cost
            funding = course_of(self.goal, simulated_prices(self.spec, paths)).funding[:, :weeks]
        kept = 1.0 if self.spec.returns is None else 1 - self.spec.returns.probability
        return (units * (margin * kept + funding)) @ self.member

    def loss_beyond(self, test: PriceTest, weeks: int) -> float:
        """Money that a test loses in its weeks, at unfavourable elasticities, by going beyond what was charged."""
        known = known_range(self.spec)
        if known is None:
            return 0.0
        path = self.planned[:weeks].copy()
        units = self.units(self.spec, self.planned[None])[:, :weeks]
        path[:, list(test.products)] = test.price[:weeks]
        within = np.clip(path, *(end[:weeks] for end in known))
        elasticity = np.where(path > within, _MOST_ELASTIC, _LEAST_ELASTIC)
        beyond = self.money(self.spec, path[None], units * (path / within) ** -elasticity)
        return max(float((self.money(self.spec, within[None], units) - beyond).sum()), 0.0)

    def best(self, draw: MarketSpec) -> Array:
        """(N,) factors on the planned prices with the most money under a draw, by coordinate ascent: each category as
        a whole, then product by product, at the same time in all categories, on a coarse and on a fine grid.
        """
        category = self.spec.category_index
        factors = np.ones(self.planned.shape[1])
        place = np.array([(category[:n] == one).sum() for n, one in enumerate(category)])
        for grid in _GRIDS:
            for turn in (place >= 0, *(place == k for k in range(place.max() + 1))):
                trial = factors * np.where(turn, grid[:, None], 1.0)
                paths = self.paths(trial)
                earned = self.money(draw, paths, self.units(draw, paths)).sum(axis=1)
                factors = trial[earned.argmax(axis=0)[category], np.arange(category.size)]
        return factors
