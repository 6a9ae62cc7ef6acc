"""Which prices are allowed: the rules, one formula each, for policies, the service and the
simulator's compiled loops.

Allowed prices by themselves: `grids`. Rules between a price and its past, its cost or other prices: `rule_formulas`,
`price_links`. All of them, in order, and what they made of an action: `guardrails`. Over several weeks, and where a
person sets other prices: `overrides`.
"""
