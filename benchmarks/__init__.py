"""Requests, round trips, bytes and time of this library and of its ancestor; see README.md here."""
