"""One store behind URLs: its objects listed page by page, fetched, and put whole, with another try where that can help.

What a library raises becomes OSError in the system's words, without the secrets of any URL: FileNotFoundError,
PermissionError and FileExistsError are what they are on a disk.
"""

import contextlib
import datetime
import errno
import os
import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from convfilter.errors import UsageError, did_you_mean, escape
from convfilter.remote.urls import EXTRAS, STORES, WEB, clean, hide_secrets, is_url, name_of, scheme_of, secrets_of

Value = TypeVar("Value")

TRIES = 5
FIRST_WAIT = 0.2  # seconds before the second try, about; then twice as long each time
PAGE = 1000  # objects of one answer of S3's
SILENT = 60  # seconds that a web server may be silent; its answer as a whole may take any time

_PASSING = {  # the libraries' names for a network that fails: each has a hierarchy of its own
    *("ClientConnectionError", "ClientPayloadError", "HTTPClientError", "ConnectionError", "IncompleteRead"),
    *("ServiceRequestError", "ServiceResponseError", "ResponseParserError", "TransportError"),
}
_NO_LOGIN = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ClientAuthenticationError"}
_VERSIONS = ("ETag", "md5Hash", "etag", "Content-MD5", "content_md5", "CRC", "Digest")
_DATES = ("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "created", "date_time")


@dataclass(frozen=True)
class Stored:
    """What a store tells of an object: its path there, its bytes, what tells it from other versions, and its date.

    ``version`` is empty where the store tells nothing, ``date`` is in nanoseconds, or None.
    """

    path: str
    size: int | None
    version: str = ""
    date: int | None = None
    is_folder: bool = False


@dataclass(frozen=True)
class Place:
    """An object or folder behind a URL: ``shown`` is the URL without secrets, ``name`` what outputs are named by."""

    store: "Store"
    path: str
    shown: str
    name: str

    def below(self, relative: str) -> "Place":
        """Return the place of an object in this folder."""
        head, *chain = self.shown.split("::")
        slash = "" if head.endswith("/") else "/"
        shown = "::".join([f"{head}{slash}{relative}", *chain])
        return Place(self.store, f"{self.path}/{relative}" if self.path else relative, shown, f"{self.name}/{relative}")


class Stores:
    """The stores of one run: ``connect(url)`` finds or opens one; after ``stop()`` nothing is put any more."""

    def __init__(self) -> None:
        self._all: list[Store] = []
        self._by_scheme: dict[str, Store] = {}

    def connect(self, url: str) -> Place:
        """Return the place that a URL names, without asking the store for it.

        Raises:
            UsageError: its scheme is not known, or the library for it is not installed.
            OSError: an archive cannot be opened.
        """
        shown, secrets = hide_secrets(url), secrets_of(url)
        scheme = scheme_of(url)
        if scheme in STORES and secrets:
            raise UsageError(f"{escape(shown)}: give user and password in the environment, not in the URL")
        if scheme in STORES and scheme != "memory" and not re.match(r"[^:/]+://[^/:]", url):
            raise UsageError(f"{escape(shown)}: names no bucket; write {scheme}://BUCKET/NAME")
        if scheme == "zip" and "::" not in url:
            url = f"zip://::{url.partition('://')[2]}"  # all of an archive on this disk
        found = _open(url, shown, secrets)
        store = next((store for store in self._all if store.fs is found[0]), None)
        if store is None:
            store = Store(found[0], scheme, secrets)
            self._all.append(store)
        store.secrets = tuple(dict.fromkeys([*store.secrets, *secrets]))
        self._by_scheme.setdefault(scheme, store)
        path = found[1].rstrip("/") if scheme not in WEB else found[1]
        if scheme in STORES:
            shown = f"{scheme}://{path.lstrip('/')}"
            return Place(store, path, shown, shown)
        return Place(store, path, shown, name_of(url))

    def at(self, url: str) -> "tuple[Store, str]":
        """Return the store, and the path in it, of an output."""
        scheme = scheme_of(url)
        store = self._by_scheme[scheme] if scheme in self._by_scheme else self.connect(url).store
        return store, store.fs._strip_protocol(url)

    def stop(self) -> None:
        """Let nothing be put from now on, and nothing be tried again."""
        for store in self._all:
            store.stopped.set()


class Store:
    """One of fsspec's file systems, for several threads."""

    def __init__(self, fs: Any, scheme: str, secrets: tuple[str, ...] = ()) -> None:
        self.fs, self.scheme, self.secrets = fs, scheme, secrets
        self.stopped = threading.Event()
        self._lock = contextlib.nullcontext() if fs.async_impl else threading.Lock()  # those others know no threads

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.fs, self.scheme, self.secrets)

    def look(self, path: str) -> Stored:
        """Return what is at a path: an object or a folder."""
        return self._stored(self._call(self.fs.info, path))

    def fetch(self, path: str, file: str, most: int | None = None) -> None:
        """Write an object to a file on this disk.

        OSError (EFBIG) where it has more than ``most`` bytes: an answer of a web server may never end.
        """
        limit = {} if most is None else {"callback": _make_limit(most)}
        self._call(self.fs.get_file, path, file, **limit)

    def head(self, path: str, size: int) -> bytes:
        """Return the first bytes of an object, or all of a shorter one."""
        try:
            return self._call(self.fs.cat_file, path, start=0, end=size)[:size]
        except OSError as error:
            if _first_status(error.__cause__) == 416:  # there is no first byte
                return b""
            raise

    def put(self, path: str, data: bytes, *, create: bool, kind: str = "") -> None:
        """Let an object be there, in one request: whole or not at all; ``kind`` is its content type.

        FileExistsError where ``create`` is true and another has been there.
        """
        if self.stopped.is_set():
            raise InterruptedError(errno.EINTR, "the run was stopped")
        settings: dict[str, Any] = {"mode": "create" if create else "overwrite"}
        if kind and self.scheme in ("s3", "gs"):
            settings["ContentType" if self.scheme == "s3" else "content_type"] = kind
        try:
            self._call(self.fs.pipe_file, path, data, **settings)
        except FileExistsError:  # by us, perhaps: an answer that was lost, and a second try
            if self._call(self.fs.cat_file, path) != data:
                raise

    def remove(self, path: str) -> None:
        """Remove an object."""
        self._call(self.fs.rm_file, path)

    def pages(self, path: str, *, recursive: bool) -> Iterator[list[Stored]]:
        """Yield the objects below a folder, page by page; of sub-folders, what they hold or (not recursive) they."""
        if self.scheme == "s3":
            yield from self._pages_of_s3(path, recursive)
        elif self.scheme == "gs":
            yield from self._pages_of_gs(path, recursive)
        else:
            yield from self._folders(path, recursive)

    def _pages_of_s3(self, path: str, recursive: bool) -> Iterator[list[Stored]]:
        bucket, _, key = path.partition("/")
        asked: dict[str, Any] = {"Bucket": bucket, "Prefix": f"{key}/" if key else "", "MaxKeys": PAGE}
        if not recursive:
            asked["Delimiter"] = "/"
        while True:
            answer = self._call(self.fs.call_s3, "list_objects_v2", **asked)
            page = [self._stored({"name": f"{bucket}/{entry['Key']}", **entry}) for entry in answer.get("Contents", ())]
            folders = [entry["Prefix"].rstrip("/") for entry in answer.get("CommonPrefixes", ())]
            yield page + [Stored(f"{bucket}/{folder}", None, is_folder=True) for folder in folders]
            if not answer.get("IsTruncated"):
                return
            asked["ContinuationToken"] = answer["NextContinuationToken"]

    def _pages_of_gs(self, path: str, recursive: bool) -> Iterator[list[Stored]]:
        bucket, _, key = path.partition("/")
        asked: dict[str, Any] = {"prefix": f"{key}/" if key else "", "maxResults": PAGE}
        if not recursive:
            asked["delimiter"] = "/"
        while True:
            answer = self._call(self.fs.call, "GET", "b/{}/o", bucket, json_out=True, **asked)
            page = [self._stored({**item, "name": f"{bucket}/{item['name']}"}) for item in answer.get("items", ())]
            folders = [folder.rstrip("/") for folder in answer.get("prefixes", ())]
            yield page + [Stored(f"{bucket}/{folder}", None, is_folder=True) for folder in folders]
            if not answer.get("nextPageToken"):
                return
            asked["pageToken"] = answer["nextPageToken"]

    def _folders(self, path: str, recursive: bool) -> Iterator[list[Stored]]:
        """Yield a folder at a time."""
        waiting = [path]
        while waiting:
            found = sorted(
                map(self._stored, self._call(self.fs.ls, waiting.pop(), detail=True)), key=lambda stored: stored.path
            )
            yield [entry for entry in found if not (recursive and entry.is_folder)]
            if recursive:
                waiting += [entry.path for entry in reversed(found) if entry.is_folder]

    def _stored(self, info: Mapping[str, Any]) -> Stored:
        size = info.get("size", info.get("Size"))
        key = next((key for key in (*_VERSIONS, *_DATES) if info.get(key)), None)
        date = next((ns for key in _DATES if (ns := _nanoseconds(info.get(key))) is not None), None)
        version = ""
        if key is not None or size is not None:
            value = str(info[key]).strip('"') if key is not None else ""
            version = ", ".join(
                filter(None, [f"{size} bytes" if size is not None else "", f"{key} {value}" * bool(key)])
            )
        return Stored(info["name"], size, version, date, info.get("type") == "directory")

    def _call(self, function: Callable[..., Value], *arguments: Any, **keywords: Any) -> Value:
        """Return what a function of the file system returns, and try again where its error may pass."""
        for number in range(1, TRIES + 1):
            try:
                with self._lock:
                    return function(*arguments, **keywords)
            except Exception as error:
                if number == TRIES or not _may_pass(error) or self.stopped.is_set():
                    raise self._explained(error, number) from error
                wait = FIRST_WAIT * 2 ** (number - 1)
                self.stopped.wait(wait * random.uniform(0.5, 1.5))  # or all that failed together would come again so
        raise AssertionError

    def _explained(self, error: Exception, tries: int) -> OSError:
        """Return an error as OSError in plain words."""
        lost = next(filter(_is_network, _chain(error)), None)  # fsspec may say of it that there is no such file
        what = error if lost is None or _first_status(error) is not None else lost
        reason = clean(str(what.strerror if isinstance(what, OSError) and what.strerror else what), self.secrets)
        reason = "" if is_url(reason) else f": {reason}"  # which is shown anyway
        after = f", after {tries} tries" if tries > 1 else ""
        status = _first_status(error)
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            return error
        names = {kind.__name__ for cause in _chain(error) for kind in type(cause).__mro__}
        is_network = status is None and lost is not None
        if broken := next(filter(_is_broken, _chain(error)), None):
            return OSError(errno.EIO, f"the server's answer cannot be understood: {_name(broken)}")
        if status in (404, 410) or (status is None and not is_network and isinstance(error, FileNotFoundError)):
            return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if isinstance(error, FileExistsError) or status == 412:
            return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if names & _NO_LOGIN:
            return PermissionError(errno.EACCES, f"Permission denied: the environment gives no credentials{reason}")
        if isinstance(error, PermissionError) or status in (401, 403):
            return PermissionError(errno.EACCES, f"Permission denied by the store{reason}")
        if status is not None:
            return OSError(errno.EIO, f"the store answers with HTTP status {status}{after}{reason}")
        if isinstance(error, TimeoutError) or any("Timeout" in name for name in names):
            return OSError(errno.EIO, f"the store did not answer in time{after}")
        if isinstance(error, OSError) and error.errno and not reason:
            return error
        return OSError(errno.EIO, f"the store cannot be read or written{after}: {type(what).__name__}{reason}")


def _open(url: str, shown: str, secrets: tuple[str, ...]) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in it."""
    import fsspec

    for part in url.split("::"):
        scheme = scheme_of(part)
        if scheme and scheme not in fsspec.available_protocols():
            hint = did_you_mean(scheme, {"http", "https", "zip", "file", *STORES}) or "; s3://, gs:// and az:// are"
            raise UsageError(f"{escape(shown)}: {scheme}:// is no scheme that fsspec knows{hint}")
    try:
        return fsspec.core.url_to_fs(url, **_settings(url))
    except ImportError as error:
        extra = next((EXTRAS[scheme] for part in url.split("::") if (scheme := scheme_of(part)) in EXTRAS), None)
        how = f"pip install 'convfilter[{extra}]'" if extra else clean(str(error), secrets)
        raise UsageError(f"{escape(shown)}: the library for it is not installed: {how}") from None
    except ValueError as error:
        raise UsageError(f"{escape(shown)}: {clean(str(error), secrets)}") from None
    except OSError as error:
        said = clean(str(error.strerror or error), secrets)
        raise OSError(error.errno or errno.EIO, said) from None  # of the class that the number stands for
    except Exception as error:  # whatever a library of an archive raises
        raise OSError(errno.EIO, f"{type(error).__name__}: {clean(str(error), secrets)}") from None


def _settings(url: str) -> dict[str, Any]:
    """Return what fsspec is told of the schemes in a URL."""
    schemes = {scheme_of(part) for part in url.split("::")} & set(WEB)
    if not schemes:
        return {}
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=SILENT, sock_read=SILENT)
    return {scheme: {"client_kwargs": {"timeout": timeout}} for scheme in schemes}


def _make_limit(most: int) -> Any:
    """Return what fsspec tells of the bytes that come, which raises OSError where they are too many."""
    from fsspec.callbacks import Callback

    class Limit(Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            super().relative_update(inc)
            if self.value > most:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    return Limit()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and those that it was raised from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status that an error of any of the libraries tells of."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore's
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status if isinstance(status, int) else None
    for name in ("status", "status_code", "code"):  # aiohttp's, Azure's, gcsfs's
        value = getattr(error, name, None)
        if isinstance(value, int | str) and str(value).isdecimal() and 400 <= int(value) < 600:
            return int(value)
    return None


def _is_network(error: BaseException) -> bool:
    """Return whether an error is a timeout or a connection that broke."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, TimeoutError | ConnectionError) or bool(names & _PASSING)


def _is_broken(error: BaseException) -> bool:
    """Return whether an error tells of an answer that is not HTTP, or of redirects that lead nowhere."""
    return _name(error) in ("TooManyRedirects", "BadStatusLine", "BadHttpMessage")


def _name(error: BaseException) -> str:
    return type(error).__name__


def _first_status(error: BaseException | None) -> int | None:
    """Return the HTTP status that an error was raised from; what comes of a broken answer is none."""
    for cause in _chain(error):
        if _is_network(cause) or _is_broken(cause):
            return None
        if (status := _status(cause)) is not None:
            return status
    return None


def _may_pass(error: Exception) -> bool:
    """Return whether another try may help: after 5xx, a timeout or a broken connection."""
    status = _first_status(error)
    if status is not None:
        return status >= 500 or status in (408, 429)
    return any(map(_is_network, _chain(error)))


def _nanoseconds(value: Any) -> int | None:
    """Return a date, in any of the forms that file systems have, in nanoseconds since 1970."""
    try:
        if isinstance(value, tuple):
            value = datetime.datetime(*value)
        elif isinstance(value, str):
            value = datetime.datetime.fromisoformat(value) if value[:4].isdecimal() else parsedate_to_datetime(value)
        if isinstance(value, datetime.datetime):
            value = value.timestamp()
        return int(value * 1_000_000_000) if isinstance(value, int | float) else None
    except (ValueError, TypeError):
        return None
