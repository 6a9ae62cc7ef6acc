"""Brings a log of an earlier version up to the present one."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

_log = logging.getLogger(__name__)


def upgrade(connection: Connection, name: str) -> None:
    """Run the migrations that the log lacks, in the transaction of the connection.

    Raises:
        ChainError: The rows of the earlier version do not match their hashes.
        ValueError: The tables are not those of a log.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes |= {"connection": connection, "name": name}
    command.upgrade(config, "head")
    _log.warning("decision log upgraded", extra={"facts": {"log": name}})
