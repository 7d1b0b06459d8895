"""Downloads that survive a bad connection and leave a whole file or none."""

import http.client
import pathlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from obd_jax.types import InvalidInputError

_CHUNK = 1 << 18


class _InterruptedError(Exception):
    """The connection failed; another attempt may succeed."""


def download(
    url: str,
    path: pathlib.Path,
    *,
    check: Callable[[pathlib.Path], Any],
    progress: Callable[[int, int], None] | None = None,
    attempts: int = 5,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> None:
    """Fetch a file, resuming where a broken connection or an earlier call stopped.

    What has arrived is kept beside the file, in `.<name>.part`, and is resumed only if the server
    says that the file is still the same. Its length is verified where the server says it, and its
    content by `check`; no hash is known to compare with, and http protects nothing on the way.
    Proxies are taken from `http_proxy` and `https_proxy`.

    Args:
        url: http or https.
        path: of the file; its folder exists.
        check: refuses, by `InvalidInputError`, a file that is not what it should be.
        progress: called with bytes received and bytes in all, where the server says how many.
        attempts: connections in a row that bring nothing new, after which to give up.
        timeout: seconds without a byte after which a connection has failed.
        pause: seconds before the second attempt, doubled for each further one.

    Raises:
        InvalidInputError: the server refuses, does not answer, or sends something else. The
            message names the address; nothing is left at `path`.
    """
    part = path.with_name(f".{path.name}.part")
    failures, most, version = 0, _size(part), _version(part)
    while True:
        try:
            _receive(url, part, progress, timeout)
            break
        except _InterruptedError as error:
            begun = _version(part)
            if begun is not None and begun != version:
                most = most if version is None else 0  # Another file has begun.
                version = begun
            failures = 1 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            if failures >= attempts:
                raise InvalidInputError(
                    f"{url}: download failed after {_size(part):,} bytes: {error}; the part "
                    "received is kept, and the same command resumes from there"
                ) from error
            time.sleep(pause * 2 ** (failures - 1))
        except OSError as error:
            raise InvalidInputError(f"{part} cannot be written: {error}") from error
    try:
        check(part)
    except InvalidInputError as error:
        _discard(part)
        raise InvalidInputError(f"{url}: not the file expected: {error}") from error
    part.replace(path)
    _validator(part).unlink(missing_ok=True)


def _receive(url, part, progress, timeout):
    """One connection: appends to `part` what is missing, or starts it anew."""
    have = _size(part)
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "obd-jax"})
    except ValueError as error:
        raise InvalidInputError(f"{url}: {error}; http:// or https:// is needed") from error
    if have and _validator(part).exists():
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", _validator(part).read_text())
    try:
        # An opener of our own: that of `urlopen` keeps the proxies of its first call.
        response = urllib.request.build_opener().open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # Nothing is left to send: all is there, or the file is another one.
            if error.headers.get("Content-Range", "") == f"bytes */{have}":
                return
            _discard(part)
            raise _InterruptedError("the file has changed on the server") from error
        if error.code >= 500:
            raise _InterruptedError(f"the server says {error.code} {error.reason}") from error
        raise InvalidInputError(f"{url}: the server says {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(str(getattr(error, "reason", error))) from error
    with response:
        # A page instead of the file; whatever else is wrong, `check` finds.
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise InvalidInputError(f"{url}: the server sends text/html, which is not a data set")
        if response.status == 206:
            start = have
        else:
            start = 0
            _discard(part)
            validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
            # A weak tag does not promise the same bytes.
            if validator and not validator.startswith("W/"):
                _validator(part).write_text(validator)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.open("ab") as file:
            while True:
                try:
                    chunk = response.read1(_CHUNK)
                except http.client.IncompleteRead as error:
                    file.write(error.partial)
                    raise _InterruptedError(f"the connection broke: {error}") from error
                except (OSError, http.client.HTTPException) as error:
                    raise _InterruptedError(f"the connection broke: {error}") from error
                if not chunk:
                    break
                file.write(chunk)
                if progress is not None and total:
                    progress(file.tell(), total)
            received = file.tell()
    if total is not None and received < total:
        raise _InterruptedError(f"the server promised {total:,} bytes and sent {received:,}")


def _size(part):
    return part.stat().st_size if part.exists() else 0


def _version(part):
    """The server's mark of what has arrived; None without one."""
    return _validator(part).read_text() if _validator(part).exists() else None


def _validator(part):
    """File with the server's mark of the version that `part` is of."""
    return part.with_name(f"{part.name}.etag")


def _discard(part):
    part.unlink(missing_ok=True)
    _validator(part).unlink(missing_ok=True)
