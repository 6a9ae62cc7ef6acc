"""The error that invalid scenarios raise."""


class ScenarioError(ValueError):
    """A scenario file or market description is invalid; the message says in one line what is wrong and how to fix it."""
