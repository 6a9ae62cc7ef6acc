"""Which prices are allowed: the rules, one formula each, for policies, the service and the
simulator's compiled loops.

Allowed prices by themselves: `ladder`, `endings`, `grids` (rounding to either), `charged_range`.
Rules between a price and its past, its cost or other prices: `rule_formulas`, `price_links`. All of
them, in order: `guardrails`, whose result is a `guarded_action`; over several weeks,
`allowed_path`.
"""
