"""The error of a wrong scenario."""


class ScenarioError(ValueError):
    """A scenario file or a market description that cannot be simulated; the message is one line that says why."""
