"""A scenario file, and wrong sections of it with the words that each is refused with."""

SHOP = """
name = "small-shop"
version = 1
summary = "Two categories, three products."
sources = ["nobody"]
[market]
horizon_periods = 8
[products]
names = ["a", "b", "c"]
category = ["x", "x", "y"]
regular_price = [4.0, 5.0, 3.0]
unit_cost = [2.0, 3.0, 1.0]
[arrivals]
rate = [30.0, 20.0]
segments = ["loyal", "thrifty"]
segment_share = [[0.6, 0.4], [0.3, 0.7]]
[demand]
quality = [[3.0, 3.5, 2.0], [4.0, 4.0, 3.0]]
price_sensitivity = [[0.6, 0.6, 0.8], [1.2, 1.1, 1.4]]
[prices]
floor = [2.0, 2.5, 1.5]
ceiling = [6.0, 8.0, 5.0]
"""

RIVAL = {"names": ["r"], "regular_price": 4.0, "quality": 3.0, "price_sensitivity": 0.6}
CHAIN = {"names": ["low", "high"], "transition": [[0.9, 0.1], [0.2, 0.8]], "initial": [1.0, 0.0]}
STOCK = {"initial_units": 20}
RAW = type("RAW", (str,), {})  # TOML as it stands: what JSON cannot say

# Section (or "" for the top), what is changed in it, the words of the error.
WRONG = [
    ("", {"name": "My Shop"}, "name must be lower-case words joined by dashes; got 'My Shop'; write 'my-shop'"),
    ("", {"name": 3}, "name must be text; got 3; put it in quotes"),
    ("", {"name": ""}, "name must be lower-case words joined by dashes; got ''"),
    ("", {"version": "1"}, "version must be a whole number from 1; got '1'"),
    ("", {"version": 1.5}, "version must be a whole number from 1; got 1.5"),
    ("", {"version": True}, "version must be a whole number from 1; got True"),
    ("", {"version": 0}, "version must be a whole number from 1; got 0"),
    ("", {"summary": 3}, "summary must be text; got 3"),
    ("", {"sources": "x"}, "sources must be a list of names; got 'x'"),
    ("", {"traps": [1, 2]}, "traps must be a list of names; got [1, 2]"),
    ("", {"sotck": {"initial_units": 3}}, "sotck is no known key; did you mean 'stock'?"),
    ("", {"price": {"floor": 1}}, "price is no known key; did you mean 'prices'?"),  # not plan.price
    ("", {"price_ladder": {"start": 1}}, "price_ladder is no known key; did you mean 'prices.price_ladder'?"),
    ("", {"horizon_periods": 3}, "horizon_periods is no known key; did you mean 'market.horizon_periods'?"),
    ("", {"zzz": 3}, "zzz is no known key; known are name, version"),
    ("", {"competitors": [RIVAL]}, "competitors must be a table [competitors]; got [{"),
    ("", {"stock": 3}, "stock must be a table [stock]; got 3; put its keys under [stock]"),
    ("market", {"horizonperiods": 3}, "market.horizonperiods is no known key; did you mean 'market.horizon_periods'?"),
    ("market", {"rate": 3}, "market.rate is no known key; did you mean 'arrivals.rate'?"),
    ("market", {"horizon_periods": 0}, "market.horizon_periods must lie in [1, 100000]; got 0"),
    ("market", {"horizon_periods": 2.5}, "market.horizon_periods must be a whole number; got 2.5"),
    ("market", {"horizon_periods": "8"}, "market.horizon_periods must be numbers; got '8'"),
    ("market", {"horizon_periods": True}, "market.horizon_periods must be numbers; got True"),
    ("market", {"horizon_periods": RAW("inf")}, "market.horizon_periods must lie in [1, 100000]; got inf"),
    ("market", {"horizon_periods": RAW("nan")}, "market.horizon_periods must lie in [1, 100000]; got nan"),
    ("market", {"horizon_periods": [8]}, "market.horizon_periods must be one number; got a list of 1"),
    ("market", {"horizon_periods": None}, "market.horizon_periods is missing; it is T, periods per episode; add it"),
    ("market", {"period": "week", "first_day": "monday"}, "market.first_day must be a day, YYYY-MM-DD; got 'monday'"),
    ("market", {"period": "week", "first_day": "20180101"}, "market.first_day must be a day, YYYY-MM-DD"),
    ("market", {"first_day": RAW("2001-01-01")}, "market.first_day must be text; got"),
    ("market", {"period": "month", "first_day": "2018-01-01"}, "market.period_days must be given beside first_day"),
    ("market", {"period_days": 0}, "market.period_days must lie in [1, 366]; got 0"),
    ("market", {"objective": "margin"}, "market.objective must be one of revenue, profit; got 'margin'"),
    ("market", {"objective": ["profit"]}, "market.objective must be one of revenue, profit; got ['profit']"),
    ("market", {"discount_factor": 1.5}, "market.discount_factor must lie in [0, 1]; got 1.5"),
    ("market", {"ending": "never"}, "market.ending must be one of terminated, truncated; got 'never'"),
    ("market", {"period": 7}, "market.period must be text; got 7"),
    (
        "products",
        {"regular_price": [4.0, -5.0, 3.0]},
        "products.regular_price must lie in [1e-09, 1e+09]; got -5 (item 2)",
    ),
    ("products", {"regular_price": [4.0, 5.0]}, "products.regular_price must have shape (N=3), or spread to it; got"),
    ("products", {"regular_price": "dear"}, "products.regular_price must be numbers; got 'dear'"),
    ("products", {"regular_price": [4.0, "5", 3.0]}, "products.regular_price must be numbers; got '5'"),
    ("products", {"regular_price": [4.0, True, 3.0]}, "products.regular_price must be numbers; got True"),
    ("products", {"regular_price": {"a": 4.0}}, "products.regular_price must be numbers; got {'a': 4.0}"),
    ("products", {"regular_price": RAW("2001-01-01")}, "products.regular_price must be numbers; got datetime.date"),
    ("products", {"regular_price": RAW("1" + "0" * 400)}, "products.regular_price must be numbers below 1e308"),
    (
        "products",
        {"regular_price": []},
        "products.regular_price must have shape (N=3), or spread to it; got shape (0,)",
    ),
    ("products", {"names": ["a", "a", "c"]}, "products.names must differ; got 'a' twice; rename one"),
    ("products", {"names": "abc"}, "products.names must be a list of names; got 'abc'"),
    ("products", {"names": [1, 2, 3]}, "products.names must be a list of names; got [1, 2, 3]"),
    ("products", {"names": []}, "products.names must hold at least one name; got an empty list"),
    ("products", {"names": ["a", "", "c"]}, "products.names must be names of one line; got ''"),
    ("products", {"names": ["a", "b\nb", "c"]}, "products.names must be names of one line; got 'b\\nb'"),
    ("products", {"category": ["x", "y"]}, "products.category must name one category for each of 3 products; got 2"),
    ("products", {"category": "x"}, "products.category must be a list of names; got 'x'"),
    ("arrivals", {"rate": [1.0, RAW("nan")]}, "arrivals.rate must lie in [0, 1e+09]; got nan (item 2)"),
    ("arrivals", {"rate": RAW("inf")}, "arrivals.rate must lie in [0, 1e+09]; got inf"),
    ("arrivals", {"rate": [[1.0, 2.0], [3.0]]}, "arrivals.rate must have rows of one length; got [[1.0, 2.0], [3.0]]"),
    ("arrivals", {"segments": ["k", "k"]}, "arrivals.segments must differ; got 'k' twice"),
    (
        "arrivals",
        {"segment_share": [[0.6, 0.5], [0.3, 0.7]]},
        "segment_share must sum to one; got 1.1",
    ),
    (
        "arrivals",
        {"segment_share": [[1.2, -0.2], [0.3, 0.7]]},
        "segment_share must lie in [0, 1]; got 1.2 (item 1 of row 1)",
    ),
    ("arrivals", {"overdispersion": -0.1}, "arrivals.overdispersion must lie in [0, 100]; got -0.1"),
    ("arrivals", {"process": "hourly"}, "arrivals.process must be one of poisson, single; got 'hourly'"),
    (
        "arrivals",
        {"process": "single"},
        "arrivals.rate (times regimes.arrivals) must be at most 1 where process = 'single'",
    ),
    ("arrivals", {"process": "single", "rate": 0.5, "overdispersion": 0.1}, "arrivals.overdispersion must be left out"),
    (
        "demand",
        {"family": "probit"},
        "demand.family must be one of mnl, cheapest, exponential, linear, constant-elasticity, nested-logit",
    ),
    ("demand", {"nesting": 0.5}, "demand.nesting must be left out with demand.family 'mnl'; got both"),
    ("demand", {"price_curvature": 1.5}, "demand.price_curvature must lie in [0, 1]; got 1.5"),
    (
        "demand",
        {"family": "nested-logit", "price_curvature": 0.5},
        "demand.price_curvature must be 0 with demand.family 'nested-logit'; got 0.5; use family = 'mnl'",
    ),
    ("demand", {"nest": ["a", "a", "b"]}, "demand.nest must be left out with demand.family 'mnl'; got both"),
    ("demand", {"nest": ["a"]}, "demand.nest must name one nest for each of 3 products; got 1; complete the list"),
    ("demand", {"nest": "a"}, "demand.nest must be a list of names; got 'a'"),
    ("demand", {"family": "nested-logit", "nest": ["a", "b", "a"], "nesting": [0.1, 0.2]}, "must have shape (J=3)"),
    ("demand", {"family": "nested-logit", "nesting": 1.0}, "demand.nesting must lie in [0, 0.95]; got 1"),
    ("prices", {"direction": "down"}, "prices.direction must be one of any, falling, rising; got 'down'"),
    ("demand", {"family": 3}, "demand.family must be text; got 3"),
    ("demand", {"family": "linear"}, "demand.family 'linear' allows one product per category; got 2 products in 'x'"),
    ("demand", {"price_sensitivity": -1.0}, "demand.price_sensitivity must lie in [0, 1e+06]; got -1"),
    ("demand", {"quality": [[1, 2], [3, 4]]}, "demand.quality must have shape (K=2 x N=3), or spread to it; got"),
    (
        "demand",
        {"season": [0.0, 0.1, 0.2]},
        "demand.season must have shape (T=8 x C=2), or spread to it; got shape (3,)",
    ),
    ("prices", {"ceiling": 1.0}, "prices.floor must be at most prices.ceiling; got 2 over 1 for 'a'"),
    ("prices", {"price_ladder": [1.0, 3.0, 2.0]}, "prices.price_ladder must rise strictly; got 2.0 after 3.0 (item 3)"),
    ("prices", {"price_ladder": ["1", "2"]}, "prices.price_ladder must be numbers; got '1'"),
    ("prices", {"price_ladder": [0.0, 1.0]}, "prices.price_ladder must hold positive prices; got 0.0 (item 1)"),
    ("prices", {"price_ladder": []}, "prices.price_ladder must be a non-empty list of positive prices; got shape (0,)"),
    (
        "prices",
        {"price_ladder": {"start": 1, "stop": 2}},
        "prices.price_ladder takes start, stop, step; got start, stop",
    ),
    ("prices", {"price_ladder": {"start": 1, "stop": 2, "step": "x"}}, "prices.price_ladder must be numbers; got 'x'"),
    ("prices", {"price_ladder": {"start": 1, "stop": 2, "step": [1]}}, "prices.price_ladder"),
    (
        "prices",
        {"price_ladder": {"start": 1, "stop": 9, "step": 1e-9}},
        "prices.price_ladder must have less than 100000",
    ),
    (
        "prices",
        {"price_ladder": {"start": 5, "stop": 2, "step": 1}},
        "prices.price_ladder needs step > 0 and stop >= start",
    ),
    ("prices", {"price_ladder": {"start": 1, "stop": RAW("nan"), "step": 1}}, "prices.price_ladder"),
    (
        "prices",
        {"price_ladder": [3.0, 4.0, 5.0], "tick": 0.1},
        "prices: price rules take one of price_ladder, tick, price_endings; got price_ladder and tick; keep one",
    ),
    (
        "prices",
        {"price_ladder": [20.0, 30.0]},
        "prices: guardrails must leave at least one allowed price on the price ladder",
    ),
    ("prices", {"minimum_margin": 0.9}, "prices: guardrails must leave at least one allowed price; product 'a' got"),
    ("prices", {"tick": 0.1, "price_endings": [0.9]}, "got tick and price_endings; keep one"),
    (
        "prices",
        {"price_endings": [0.99, 0.49]},
        "prices.price_endings must rise strictly; got 0.49 after 0.99 (item 2)",
    ),
    (
        "prices",
        {"price_endings": [1.99]},
        "prices.price_endings must hold fractions in [0, 1), such as 0.99; got 1.99 (item 1)",
    ),
    (
        "prices",
        {"price_endings": []},
        "prices.price_endings must be a non-empty list of fractions in [0, 1), such as 0.99; got shape (0,)",
    ),
    ("prices", {"price_endings": ["x"]}, "prices.price_endings must be numbers; got 'x'"),
    (
        "prices",
        {"floor": 2.05, "ceiling": 2.2, "price_endings": [0.49]},
        "prices: guardrails must leave at least one allowed price with the price endings; product 'a' got",
    ),
    (
        "prices",
        {"minimum_advertised_price": [7.0, 0.0, 0.0]},
        "product 'a' got floor 2, minimum margin price 0, minimum advertised price 7, ceiling 6; widen the range",
    ),
    ("prices", {"minimum_advertised_price": -1}, "prices.minimum_advertised_price must lie in [0, 1e+09]; got -1"),
    ("prices", {"max_changes": 2}, "prices: max_changes needs change_window_periods; got no change_window_periods"),
    ("prices", {"change_window_periods": 7}, "prices: change_window_periods needs max_changes; got no max_changes"),
    (
        "prices",
        {"max_changes": 7, "change_window_periods": 7},
        "prices: max_changes must be below change_window_periods, 7; got 7",
    ),
    ("prices", {"max_changes": 1.5}, "prices.max_changes must be a whole number; got 1.5"),
    ("prices", {"prior_price_periods": 0}, "prices.prior_price_periods must lie in [1, 1000]; got 0"),
    ("law", {}, "law.jurisdictions is missing; it is whose law holds"),
    ("law", {"jurisdictions": ["FR"]}, "law.jurisdictions must be of EU, NY, MD, CA; got 'FR'; choose from them"),
    ("law", {"jurisdictions": "EU"}, "law.jurisdictions must be a list of names; got 'EU'"),
    ("law", {"jurisdictions": ["EU"]}, "market.period_days must be given where law.jurisdictions has EU"),
    ("law", {"jurisdictions": ["NY"], "perishable": ["d"]}, "law.perishable must be one of products.names; got 'd'"),
    ("law", {"jurisdictions": ["MD"], "food_store": 1}, "law.food_store must be true or false; got 1"),
    (
        "law",
        {"jurisdictions": ["CA"], "competitor_table": "signals"},
        "competitors' prices are used; got not-stated; say where they come from",
    ),
    (
        "law",
        {"jurisdictions": ["CA"], "competitor_table": "signals", "competitor_source": "shared"},
        "competitors' prices are used; got shared; do not use what competitors shared",
    ),
    (
        "law",
        {"jurisdictions": ["CA"], "competitor_source": "theirs"},
        "law.competitor_source must be one of not-stated",
    ),
    ("prices", {"frozen": ["d"]}, "prices.frozen must be one of products.names; got 'd'; did you mean"),
    ("prices", {"frozen": "a"}, "prices.frozen must be a list of names; got 'a'"),
    ("prices", {"line_order": ["a", "b"]}, "prices.line_order must be lists of names; got ('a', 'b')"),
    ("prices", {"line_order": [["a", "z"]]}, "prices.line_order must be one of products.names; got 'z'"),
    ("prices", {"line_order": [["a"]]}, "prices: a line of products must hold at least two; got 1"),
    (
        "prices",
        {"line_order": [["a", "b", "a"]]},
        "prices: a product must belong to one line, once; got product 'a' again",
    ),
    (
        "prices",
        {"line_order": [["b", "a", "c"]], "floor": [2.0, 5.5, 1.5]},
        "prices: product lines, packs and price gaps must leave at least one allowed price; product",
    ),
    ("prices", {"max_discount": 0.99}, "prices.max_discount must lie in [0, 0.95]; got 0.99"),
    ("prices", {"tick": [0.1, 0.2]}, "prices.tick must be one number; got a list of 2"),
    ("prices", {"max_change": "10%"}, "prices.max_change must be numbers; got '10%'"),
    (
        "stock",
        {**STOCK, "lead_time_periods": 9},
        "stock.lead_time_periods must be at most market.horizon_periods (8); got 9",
    ),
    (
        "capacity",
        {"names": ["seats"], "units": 5, "use": 0.5},
        "capacity.use must be whole numbers; got 0.5; round it",
    ),
    (
        "capacity",
        {"names": ["seats"], "units": 5, "use": 1},
        "capacity needs one category, arrivals.process = 'single' and no competitors that answer within the period",
    ),
    ("capacity", {"names": ["seats", "seats"], "units": 5, "use": 1}, "capacity.names must differ; got 'seats' twice"),
    ("stock", {**STOCK, "lead_time_periods": 1.5}, "stock.lead_time_periods must be a whole number; got 1.5; round it"),
    (
        "stock",
        {**STOCK, "lead_time_periods": [0, 1, 1], "delay_probability": 0.1},
        "stock.delay_probability needs a lead time of at least one period; got lead_time_periods 0",
    ),
    ("stock", {**STOCK, "lead_time_periods": -1}, "stock.lead_time_periods must lie in [0, 1000]; got -1"),
    ("stock", {**STOCK, "season_periods": 9}, "stock.season_periods must be at most market.horizon_periods (8); got 9"),
    ("stock", {**STOCK, "replenishment": "weekly"}, "stock.replenishment must be one of none, order-up-to, action"),
    (
        "stock",
        {**STOCK, "replenishment": "action"},
        "stock.max_order_units must be above 0 where the policy orders; got 0",
    ),
    (
        "stock",
        {**STOCK, "replenishment": "action", "max_order_units": [3, 0.5, 0]},
        "stock.max_order_units must be 0 or at least 1, as orders are whole units; got 0.5; round it",
    ),
    (
        "express",
        {"max_order_units": 3},
        "express needs a market whose policies order; got stock.replenishment = 'none'",
    ),
    ("stock", {**STOCK, "spoilage": 1.0}, "stock.spoilage must lie in [0, 0.99]; got 1"),
    ("stock", {"initial_units": RAW("nan")}, "stock.initial_units must lie in [0, inf]; got nan"),
    ("stock", {"initial_units": "many"}, "stock.initial_units must be numbers; got 'many'"),
    ("stock", {"shortage": "backlog"}, "stock.shortage = 'backlog' needs finite stock; got initial_units inf"),
    (
        "stock",
        {"replenishment": "order-up-to"},
        "stock.replenishment = 'order-up-to' needs finite stock; got initial_units",
    ),
    ("stock", {"salvage_value": 1.0}, "stock.salvage_value needs finite stock; got initial_units inf"),
    ("stock", {"holding_cost": 0.1}, "stock.holding_cost needs finite stock; got initial_units inf"),
    ("stock", {**STOCK, "shortages": "lost"}, "stock.shortages is no known key; did you mean 'stock.shortage'?"),
    ("competitors", {**RIVAL, "rule": "undrcut:1"}, "competitors.rule: rule must be one of fixed, undercut:STEP"),
    ("competitors", {**RIVAL, "rule": "undercut"}, "competitors.rule: rule undercut must be written undercut:STEP"),
    ("competitors", {**RIVAL, "rule": "undercut:-1"}, "competitors.rule: rule undercut must be written undercut:STEP"),
    (
        "competitors",
        {**RIVAL, "rule": ["fixed", "match"]},
        "competitors.rule must name one rule for each of 1 offers",
    ),
    ("competitors", {**RIVAL, "rule": 3}, "competitors.rule must be a list of names; got 3"),
    (
        "competitors",
        {**RIVAL, "product": ["bb"]},
        "competitors.product must be one of products.names; got 'bb'; did you mean",
    ),
    ("competitors", {**RIVAL, "product": "b"}, "competitors.product must be a list of names; got 'b'"),
    (
        "competitors",
        {**RIVAL, "seller": ["s", "t"]},
        "competitors.seller must name one seller for each of 1 offers; got 2",
    ),
    (
        "competitors",
        {**RIVAL, "names": list("qrst")},
        "competitors.product must say what each of 4 offers competes with",
    ),
    (
        "competitors",
        {**RIVAL, "floor": 5.0, "ceiling": 4.5},
        "competitors.floor must be at most competitors.ceiling; got 5",
    ),
    (
        "competitors",
        {**RIVAL, "answers_within_period": 1},
        "competitors.answers_within_period must be true or false; got 1",
    ),
    ("competitors", {"names": ["r"]}, "competitors.regular_price is missing; it is initial price, currency per unit"),
    (
        "regimes",
        {**CHAIN, "transition": [[0.9, 0.2], [0.2, 0.8]]},
        "regimes.transition must sum to one; got 1.1 for 'low'",
    ),
    ("regimes", {**CHAIN, "transition": [0.5, 0.5, 0.5]}, "regimes.transition must have shape (Z=2 x Z=2)"),
    ("regimes", {**CHAIN, "initial": [0.5, 0.6]}, "regimes.initial must sum to one; got 1.1"),
    ("regimes", {**CHAIN, "names": ["low", "low"]}, "regimes.names must differ; got 'low' twice"),
    ("regimes", {**CHAIN, "observed": "yes"}, "regimes.observed must be true or false; got 'yes'"),
    ("reference_price", {"memory": 1.2, "gain": 1, "loss": 1}, "reference_price.memory must lie in [0, 1]; got 1.2"),
    (
        "reference_price",
        {"memory": 0.5, "gain": 1},
        "reference_price.loss is missing; it is utility lost per log point",
    ),
    (
        "reference_price",
        {"memory": 0.5, "gain": 1, "loss": 1, "scale": "root"},
        "reference_price.scale must be one of log",
    ),
    (
        "reference_price",
        {"memory": 0.5, "gain": 1, "loss": 1, "units_gain": -0.1},
        "reference_price.units_gain must lie in [0, 100]; got -0.1",
    ),
    ("recommendation", {"lift": [0.1, 0.2, 0.3], "candidates": 1}, "recommendation.lift must have shape (K=2)"),
    ("recommendation", {"lift": 1, "candidates": 1, "affinity": RAW("inf")}, "recommendation.affinity must lie in"),
    ("promotion", {"lift": 0.5, "max_products": 1.5}, "promotion.max_products must be a whole number; got 1.5"),
    (
        "promotion",
        {"lift": 0.5, "max_product": 1},
        "promotion.max_product is no known key; did you mean 'promotion.max_products'",
    ),
    (
        "loyalty",
        {"memory": 0.9, "price_effect": 0.5, "stockout_effect": 0, "low": 1.5},
        "loyalty.low must lie in [0, 1]",
    ),
    ("strategic", {"share": 1.5, "patience": 0.5}, "strategic.share must lie in [0, 1]; got 1.5"),
    ("shocks", {"volatility": 0.2, "persistence": 1.0}, "shocks.persistence must lie in [0, 0.999]; got 1"),
    ("returns", {"probability": [0.1, 0.2]}, "returns.probability must have shape (N=3)"),
    ("posterior", {"sensitivity": 1}, "posterior.draws is missing; it is M, number of draws; add it"),
    ("posterior", {"draws": 2, "simulated": 1}, "posterior.simulated must be true or false; got 1"),
    ("posterior", {"draws": 0}, "posterior.draws must lie in [1, 10000]; got 0"),
    ("posterior", {"draws": 1.5}, "posterior.draws must be a whole number; got 1.5"),
    ("posterior", {"draws": "two"}, "posterior.draws must be numbers; got 'two'"),
    ("posterior", {"draws": 2, "unit_cost": -1}, "posterior.unit_cost must lie in [0, 1000]; got -1"),
    ("posterior", {"draws": 2, "utility": [0, 1]}, "posterior.utility must have shape (M=2 x N=3), or spread to it"),
    (
        "posterior",
        {"draws": 2, "promotion": 2},
        "posterior.promotion must be left out where there is no section [promotion]; got factors; remove one",
    ),
    (
        "posterior",
        {"draws": 2, "reference_units": 2},
        "posterior.reference_units must be left out where there is no section [reference_price]; got factors; remove",
    ),
    (
        "posterior",
        {"draws": 2, "reference_gain": -0.5},
        "posterior.reference_gain must be left out where there is no section [reference_price]; got factors; remove",
    ),
]
