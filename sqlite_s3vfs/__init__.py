"""SQLite databases that live in S3."""

__version__ = "1.0.0.dev0"
