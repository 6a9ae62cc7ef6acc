"""Changes of the log's tables from version to version, by Alembic."""
