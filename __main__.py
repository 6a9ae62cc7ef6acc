"""`python -m repricer` is `repricer`."""

from .cli import main

main(prog_name="repricer")
