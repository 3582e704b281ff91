"""Which texts are URLs, what of a URL is secret, and what is known of the stores behind their schemes."""

import re
from hashlib import blake2b
from urllib.parse import unquote

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.I)  # of two letters at least: C:// is a disk
_ANY = re.compile(r"[a-z][a-z0-9+.-]+://[^\s'\"<>]+", re.I)
_ALIASES = {"s3a": "s3", "gcs": "gs"}
_FILE = ("file", "local")

WEB = ("http", "https")  # one picture each, to be read
STORES = ("s3", "gs", "az", "abfs", "abfss", "memory")  # where an object appears whole or not at all
EXTRAS = {"s3": "s3", "gs": "gs", "az": "az", "abfs": "az", "abfss": "az", "http": "http", "https": "http"}


def is_url(text: str) -> bool:
    """Return whether a text is a URL, and no path on this disk.

    >>> is_url("s3://bucket/photos/"), is_url("zip://sub::photos.zip"), is_url("photos/"), is_url("C://photos")
    (True, True, False, False)
    """
    return _SCHEME.match(text) is not None


def scheme_of(url: str) -> str:
    """Return what stands before ://, in one spelling of several.

    >>> scheme_of("S3A://bucket/a.png")
    's3'
    """
    found = _SCHEME.match(url)
    scheme = found[1].lower() if found else ""
    return _ALIASES.get(scheme, scheme)


def to_path(text: str) -> str:
    """Return the path that a file:// URL means on this disk; any other text as it is.

    As in fsspec nothing is decoded, so every name can be written.

    >>> to_path("file:///photos/a%20b.png"), to_path("s3://bucket/a.png")
    ('/photos/a%20b.png', 's3://bucket/a.png')
    """
    found = _SCHEME.match(text)
    return text[found.end() :] or "/" if found and found[1].lower() in _FILE and "::" not in text else text


def hide_secrets(url: str) -> str:
    """Return a URL without user and password, and without the query, which may hold a signature.

    In an object store ? and # are characters like others.

    >>> hide_secrets("https://me:pass@host/a.png?sig=5"), hide_secrets("s3://bucket/is it?.png")
    ('https://host/a.png', 's3://bucket/is it?.png')
    >>> hide_secrets("zip://a.png::https://me:pass@host/x.zip?sig=5")
    'zip://a.png::https://host/x.zip'
    """
    return "::".join(map(_hide, url.split("::")))


def secrets_of(url: str) -> tuple[str, ...]:
    """Return the pieces of a URL that no message may hold.

    >>> secrets_of("https://me:pass@host/a.png?sig=5")
    ('me:pass', 'pass', 'sig=5')
    """
    found = []
    for part in url.split("::"):
        user, _, password = (login := _login(part)).partition(":")
        query = re.split(r"[?#]", part, maxsplit=1)[1:] if _has_query(part) else []
        found += [piece for piece in (login, password or user, *query) if piece]
    return tuple(dict.fromkeys(found))


def clean(message: str, secrets: tuple[str, ...] = ()) -> str:
    """Return a message of a library on one line, with no URL's secrets in it.

    >>> clean("404, url='https://me:pass@host/a.png?sig=5'")
    "404, url='https://host/a.png'"
    """
    return hide_in(" ".join(message.split()), secrets)[:300]


def hide_in(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return a text with no URL's secrets in it, and none of those given."""
    text = _ANY.sub(lambda found: hide_secrets(found[0]), text)
    for secret in sorted({*secrets, *map(unquote, secrets)}, key=len, reverse=True):
        text = text.replace(secret, "...")
    return text


def name_of(url: str) -> str:
    """Return what outputs of the file behind a URL are named by, as a path: its last part is the file's name.

    No two URLs have the same; what is left of a secret in it is a hash.

    >>> name_of("https://me:pass@host/of/a.png"), name_of("zip://a.png::s3://bucket/x.zip")
    ('https://host/of/a.png', 'zip://s3://bucket/x.zip/a.png')
    >>> name_of("https://host/of/a.png?id=5"), name_of("https://host/a%20b.png")
    ('https://host/of/~a05fbee6/a.png', 'https://host/~6d33829f/a b.png')
    """
    first, *rest = url.split("::")
    shown = _hide(first)
    if rest:
        archive, inside = "::".join(map(_hide, rest)), shown.partition("://")[2].lstrip("/")
        shown = f"{shown.partition('://')[0]}://{archive}/{inside}".rstrip("/")
    folder, _, name = shown.rpartition("/")
    hidden = first.partition("?")[2] if _has_query(first) else ""
    plain = unquote(name) if scheme_of(first) in WEB else name
    if plain != name and plain.isprintable() and "/" not in plain and plain not in ("", ".", ".."):
        hidden, name = f"{name}?{hidden}", plain
    mark = f"~{blake2b(hidden.encode(), digest_size=4).hexdigest()}/" if hidden else ""
    return f"{folder}/{mark}{name}"


def _hide(part: str) -> str:
    login = _login(part)
    shown = part.replace(f"{login}@", "", 1) if login else part
    return re.split(r"[?#]", shown, maxsplit=1)[0] if _has_query(part) else shown


def _login(part: str) -> str:
    """Return "user:password", or on the web anything that stands before an @ in the host's place; else "" ."""
    found = _SCHEME.match(part)
    if not found:
        return ""
    login, at, _ = part[found.end() :].partition("/")[0].rpartition("@")
    return login if at and (":" in login or scheme_of(part) in WEB) else ""


def _has_query(part: str) -> bool:
    return scheme_of(part) not in ("", "zip", "tar", *_FILE, *STORES)
