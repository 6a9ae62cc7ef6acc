"""What else was made of a customer's rows."""

import io
import sys

import pandas as pd
from repricer.data.privacy import artifacts


def test_no_thread_keeps_a_file_that_was_read(tmp_path):
    """One that lets go of it as the process ends aborts it; of 200 reads with threads, dozens were kept."""
    name, out = "c_0123456789abcdef", io.BytesIO()
    pd.DataFrame({"customer": [name] * 3, "basket": ["1"] * 3}).to_parquet(out)
    content, path = out.getvalue(), tmp_path / "sales.parquet"
    alone = sys.getrefcount(content)
    for _ in range(200):
        assert list(artifacts._within(content, path)) == [name]
        assert sys.getrefcount(content) == alone
