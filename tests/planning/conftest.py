"""The bundles and price lists of the tests of serving."""

from ..serving.conftest import assessed, dated_market, one_path, one_run, price_rows, spec

__all__ = ["assessed", "dated_market", "one_path", "one_run", "price_rows", "spec"]
