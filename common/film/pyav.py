"""PyAV, FFmpeg's libraries for Python, which is optional."""

from typing import Any

from common.cli import UserError


def av() -> Any:
    """The module `av`; `UserError` where it is not installed."""
    try:
        import av
    except ImportError:
        raise UserError(
            "Films need PyAV, which is not installed: make setup FILM=1, or pip install av."
        ) from None
    return av
