"""Failed downloads of Keras, as errors that a user can act on."""

from __future__ import annotations

import urllib.error
import zipfile
from collections.abc import Callable
from typing import TypeVar

from foundation.errors import EdgequantError

T = TypeVar("T")

_KINDS = (Exception, ValueError, urllib.error.URLError, zipfile.BadZipFile)


def first_line(error: BaseException) -> str:
    """First line of an error's text, or its type when there is no text."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def download(fetch: Callable[[], T], failed: Callable[[str], EdgequantError]) -> T:
    """Run a function that downloads through Keras.

    Args:
        fetch: what to run.
        failed: the first line of what went wrong -> the error to raise instead.

    Raises:
        EdgequantError: made by ``failed``, for a missing connection, an interrupted or damaged
            download, or arguments that nothing was published for.
    """
    try:
        return fetch()
    except Exception as error:
        # keras.utils.get_file raises Exception itself: type(error) keeps mistakes apart from it.
        if type(error) in _KINDS or isinstance(error, OSError):
            raise failed(first_line(error)) from error
        raise
