import pytest
from repricer.benchmarks.load import _quantile

HEAD = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n"
ROW = "{},0.0006,0.0000,0.0003,0.0199,0.0001,{},1.5195\n"


def test_the_percentile_is_of_all_callers_together() -> None:
    slow = HEAD + ROW.format(0.5, 200)
    fast = HEAD + "".join(ROW.format(n / 1000, 200) for n in range(1, 200))
    starting = HEAD + ROW.format(0.9, 200).replace("1.5195", "0.5195")
    assert (_quantile([fast, slow, starting], 0.5), _quantile([fast, slow, starting], 0.995)) == (0.101, 0.5)


@pytest.mark.parametrize("tables", [[HEAD + ROW.format(0.1, 200) + ROW.format(0.1, 503)], [HEAD], [""]])
def test_a_percentile_needs_answers_that_are_all_200(tables: list[str]) -> None:
    with pytest.raises(RuntimeError, match="all answers must be 200; got"):
        _quantile(tables, 0.99)
