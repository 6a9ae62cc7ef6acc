"""The error that invalid scenarios raise."""


class ScenarioError(ValueError):
    """A scenario is invalid; the message says in one line what is wrong and how to fix it.

    Example:
        >>> from repricer import load_scenario
        >>> try:
        ...     load_scenario("grocrey")
        ... except ScenarioError as error:
        ...     print(str(error).split("; ")[-1])
        did you mean 'grocery'?
    """
