"""Databases too large for a tail, an inline map, a cache, or the lock page."""
