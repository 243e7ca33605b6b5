"""Our own tables: SQLAlchemy Core on SQLite (default) and PostgreSQL."""
