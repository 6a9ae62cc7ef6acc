"""`python -m repricer.cli` is `repricer`."""

from . import main

main(prog_name="repricer")
