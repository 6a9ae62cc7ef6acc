"""`repricer cycle`: from a shop's files to the price list of the weeks to come, in one command."""

from .command import command as command
