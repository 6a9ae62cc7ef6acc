"""A shop's tables: schema, import, cleaning, weekly panel, sales analysis, pseudonyms."""

from __future__ import annotations

from ..privacy.pseudonyms import pseudonymise
from .complete_journey import load_complete_journey
from .experiments import load_experiments
from .guessing import mapping_template
from .importing import import_folder, import_table, import_tables
from .mapping import TableMapping, load_mapping
from .panel.aggregation import sales_panel, with_prices
from .panel.context import context_ahead, context_by_store
from .panel.weekly import product_weeks, traffic_unit
from .product_selection import choose_market, choose_products, reasons_not_chosen, revenue_shares
from .schema import SCHEMAS, DataError, data_dictionary
from .storage import check_new, load_tables, save_tables, scan_tables
from .summary import SalesSummary, SalesTotals, check_plot_path, plot_summary, sales_summary, sales_totals
from .suspects import flagged_customers, without_flagged
from .tables import ImportReport, StoredTables, Tables

__all__ = [
    "SCHEMAS",
    "DataError",
    "ImportReport",
    "SalesSummary",
    "SalesTotals",
    "StoredTables",
    "TableMapping",
    "Tables",
    "check_new",
    "check_plot_path",
    "choose_market",
    "choose_products",
    "context_ahead",
    "context_by_store",
    "data_dictionary",
    "flagged_customers",
    "import_folder",
    "import_table",
    "import_tables",
    "load_complete_journey",
    "load_experiments",
    "load_mapping",
    "load_tables",
    "mapping_template",
    "plot_summary",
    "product_weeks",
    "pseudonymise",
    "reasons_not_chosen",
    "revenue_shares",
    "sales_panel",
    "sales_summary",
    "sales_totals",
    "save_tables",
    "scan_tables",
    "traffic_unit",
    "with_prices",
    "without_flagged",
]
