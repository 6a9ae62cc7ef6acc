"""The report of a comparison: one offline HTML file that a pricing manager reads."""

from .page import SECTIONS, write_report
from .verdict import ReportData, verdict

__all__ = ["SECTIONS", "ReportData", "verdict", "write_report"]
