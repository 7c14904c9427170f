"""Downloads through Keras, whose failures become errors that a user can act on."""

from __future__ import annotations

import urllib.error
import zipfile
from collections.abc import Callable
from typing import TypeVar

from foundation.errors import EdgequantError

T = TypeVar("T")

_KINDS = (Exception, ValueError, urllib.error.URLError, zipfile.BadZipFile)


def first_line(error: BaseException) -> str:
    """First line of an error's text, or its type if it has no text."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def download(fetch: Callable[[], T], failed: Callable[[str], EdgequantError]) -> T:
    """Run a function that downloads through Keras.

    Args:
        fetch: function to run.
        failed: first line of the original error's text -> error to raise instead.

    Raises:
        EdgequantError: made by ``failed``, for a missing connection, an interrupted or damaged
            download, or arguments that nothing was published for.
    """
    try:
        return fetch()
    except Exception as error:
        # keras.utils.get_file raises Exception itself; its subclasses are programming errors.
        if type(error) in _KINDS or isinstance(error, OSError):
            raise failed(first_line(error)) from error
        raise
