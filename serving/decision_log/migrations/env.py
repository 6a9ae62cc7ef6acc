"""What Alembic runs: migrations on the connection, and in the transaction, that `upgrade` has."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
context.run_migrations()
