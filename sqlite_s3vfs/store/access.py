"""Where S3 is and who asks, as far as it is not left to the environment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What is said beside the AWS tools' own variables and files; empty: as these have it."""

    endpoint_url: str = ""
    profile: str = ""
    region: str = ""


FROM_ENVIRONMENT = Access()
"""Nothing is said: the environment decides."""
