"""What else was made of a customer's rows."""

import io
import sys

import pandas as pd
import pytest
from repricer.privacy import artifacts


def test_no_thread_keeps_a_file_that_was_read(tmp_path):
    """One that lets go of it as the process ends aborts it; of 200 reads with threads, dozens were kept."""
    name, out = "c_0123456789abcdef", io.BytesIO()
    pd.DataFrame({"customer": [name] * 3, "basket": ["1"] * 3}).to_parquet(out)
    content, path = out.getvalue(), tmp_path / "sales.parquet"
    alone = sys.getrefcount(content)
    for _ in range(200):
        assert list(artifacts._within(content, path)) == [name]
        assert sys.getrefcount(content) == alone


@pytest.mark.parametrize("form", ["text", "categories", "lists", "gzip"])
def test_a_pseudonym_is_found_in_every_form_of_column(tmp_path, form):
    names, path = ["c_0123456789abcdef", "c_fedcba9876543210"], tmp_path / "labels.parquet"
    labels = pd.DataFrame({"customer": names, "segment": [0, 1]})
    if form == "gzip":
        labels.to_csv(path := tmp_path / "labels.csv.gz", index=False)
    else:
        column = {"text": labels["customer"], "categories": labels["customer"].astype("category"), "lists": [names, []]}
        labels.assign(customer=column[form]).to_parquet(path)
    assert {*artifacts.mentioned(path)} == {*names}
