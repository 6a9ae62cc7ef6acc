"""The demand forecasters, one a module."""
