"""Which prices are allowed: the rules, one formula each, for policies, the service and the
simulator's compiled loops.

Allowed prices by themselves: `grids`. What each rule asks for, and its priority: `rule_formulas`. Prices that keep as many rules
as can be kept: `projection`. All of them, and what they made of an action: `guardrails`. Over several weeks, and where a person
sets other prices: `overrides`.
"""
