from __future__ import annotations

from pathlib import Path

import pandas as pd
import pandera.errors
import pytest
from repricer.data import SCHEMAS, data_dictionary

DOCS = Path(__file__).parents[2] / "docs" / "data.md"
COLUMNS = [(name, column) for name, schema in SCHEMAS.items() for column in schema.columns]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_every_column_is_described_with_a_unit(table, column):
    spec = SCHEMAS[table].columns[column]
    assert spec.description
    assert spec.description.endswith(".")
    assert f"| `{column}` |" in data_dictionary()
    assert spec.metadata["unit"] in data_dictionary()


def test_the_guide_holds_the_data_dictionary():
    assert data_dictionary() in DOCS.read_text(encoding="utf-8")


def test_schema_coerces_and_reports_all_faults_at_once():
    sales = pd.DataFrame({"date": ["2024-01-01"], "product": [7], "units": ["2"], "price_paid": [1]})
    clean = SCHEMAS["sales"].validate(sales)
    assert clean["units"].tolist() == [2.0]
    assert clean["product"].tolist() == ["7"]
    with pytest.raises(pandera.errors.SchemaErrors) as caught:
        SCHEMAS["sales"].validate(sales.assign(units=-1, price_paid=-1), lazy=True)
    assert set(caught.value.failure_cases["column"]) == {"units", "price_paid"}
