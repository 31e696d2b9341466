"""Databases of sqlite-s3vfs 0.0.36, written by itself."""
