"""The only source of randomness: ids that nobody else can pick, and jitter."""

from __future__ import annotations

import random
import secrets
from typing import Protocol

ID_SIZE = 8
"""Bytes in the random part of an object's name, a commit id or a nonce."""


class IdSource(Protocol):
    """Where ids and jitter come from."""

    def new_id(self) -> bytes:
        """``ID_SIZE`` random bytes."""

    def jitter(self) -> float:
        """A number from 0 (inclusive) to 1 (exclusive)."""


class RandomIds:
    """Ids from the operating system's generator; safe across fork and threads."""

    def new_id(self) -> bytes:
        return secrets.token_bytes(ID_SIZE)

    def jitter(self) -> float:
        return random.SystemRandom().random()
