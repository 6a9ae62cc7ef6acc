"""Ordering in markets that others have made: lost sales on Zipkin's grid, and the networks of gym-invmgmt."""
