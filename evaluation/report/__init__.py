"""The report of a comparison: one offline HTML file that a pricing manager reads."""

from .data import ReportData
from .page import SECTIONS, write_report
from .verdict import verdict

__all__ = ["SECTIONS", "ReportData", "verdict", "write_report"]
