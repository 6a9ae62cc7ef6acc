"""Leagues: several sellers of one market learn against one another."""
