"""Tables: schema, import, cleaning, sales analysis and pseudonyms."""

from __future__ import annotations

from .choosing import choose_products
from .complete_journey import load_complete_journey
from .importing import import_tables
from .panel import product_weeks
from .pseudonyms import pseudonymise
from .schema import SCHEMAS, DataError, data_dictionary
from .storage import load_tables, save_tables
from .summary import SalesSummary, sales_summary
from .tables import ImportReport, Tables

__all__ = [
    "SCHEMAS",
    "DataError",
    "ImportReport",
    "SalesSummary",
    "Tables",
    "choose_products",
    "data_dictionary",
    "import_tables",
    "load_complete_journey",
    "load_tables",
    "product_weeks",
    "pseudonymise",
    "sales_summary",
    "save_tables",
]
