"""The analyst's week: markets in folders, the cycle, price lists, the account, refreshed bundles, markdowns."""
