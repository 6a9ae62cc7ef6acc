"""Sellers that learn against one another."""
