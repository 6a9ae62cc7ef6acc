"""Markdown: selling a season's leftover stock by a date, at prices that only fall."""

from .plan import MarkdownPlan, ProductPlan, plan_markdown
from .stock import StockRow, read_stock
from .terms import Terms

__all__ = ["MarkdownPlan", "ProductPlan", "StockRow", "Terms", "plan_markdown", "read_stock"]
