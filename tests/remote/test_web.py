"""Pictures from web servers and archives; which errors are tried again, and that no secret of a URL is ever shown."""

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from convfilter import run_files
from convfilter.cli.listing import show_texts
from convfilter.errors import UsageError
from convfilter.files.targets import find_target
from convfilter.remote import store
from convfilter.remote.store import Stores

PICTURE = b"P5 8 8 255 " + bytes(range(64))
LIES = {
    "/endless.png": b"HTTP/1.1 200 OK\r\n\r\n",
    "/no-http.png": b"\0\1\r\n\r\n",
    "/circle.png": b"HTTP/1.1 302 Found\r\nLocation: /circle.png\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "/gone.png": b"",
    "/longer.png": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + PICTURE,
}
SECRETS = ("pass%21word", "pass!word", "t0ken", "hunter2")


class Handler(BaseHTTPRequestHandler):
    """Answers by what the path says: /503-2/... fails twice and then gives the picture."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, self.headers.get("Authorization")))
        if self.path in LIES:
            self.close_connection = True
            self.wfile.write(LIES[self.path])
            with contextlib.suppress(ConnectionError):
                for _ in range(200 if self.path.startswith("/endless") and self.command == "GET" else 0):
                    self.wfile.write(bytes(1 << 16))
            return
        status, _, times = self.path.split("/")[1].partition("-")
        fails = status.isdecimal() and sum(self.path == path for _, path, _ in self.server.seen) <= int(times or 99)
        self.send_response(int(status) if fails else 200)
        body = b"no" if fails else PICTURE
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"5"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture(scope="module")
def web():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(autouse=True)
def folder(web, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "FIRST_WAIT", 0.001)
    web.seen = []
    return tmp_path


def url(web, path: str, login: str = "") -> str:
    return f"http://{login}127.0.0.1:{web.server_port}/{path}"


def test_a_picture_of_the_web_is_written_to_the_working_folder_and_no_secret_is_kept(web, folder):
    (result,) = run_files("edge", url(web, "of/a%20b.pgm?sig=t0ken&x=1", "me:pass%21word@"))
    assert (result.status, result.outputs) == ("done", ("a b_edge.png",))
    assert base64.b64decode(web.seen[-1][2].split()[1]) == b"me:pass!word" and web.seen[-1][1].endswith("x=1")
    assert result.source == url(web, "of/a%20b.pgm")
    said = json.dumps(result.to_dict()) + show_texts("a b_edge.png") + str(list(folder.iterdir()))
    assert not any(secret in said or secret.encode() in Path("a b_edge.png").read_bytes() for secret in SECRETS)
    (again,) = run_files("edge", url(web, "of/a%20b.pgm?sig=t0ken&x=1", "me:pass%21word@"), skip_existing=True)
    assert again.status == "skipped"


def test_pictures_that_differ_in_the_query_alone_have_outputs_of_their_own(web):
    results = list(run_files("edge", [url(web, "a.pgm?id=1"), url(web, "a.pgm?id=2"), url(web, "b.pgm")]))
    assert [one.status for one in results] == ["done"] * 3
    assert len({one.outputs for one in results}) == 3 and results[2].outputs == ("b_edge.png",)


@pytest.mark.parametrize(
    ("path", "kind", "requests"),
    [("404/a.pgm", "missing", 2), ("403/a.pgm", "denied", 2), ("500-2/a.pgm", None, 4), ("503/a.pgm", "system", 10)],
)
def test_what_may_pass_is_tried_again_and_nothing_else(web, path, kind, requests):
    (result,) = run_files("edge", url(web, f"{path}?sig=t0ken", "me:hunter2@"))
    assert result.kind == kind
    assert 1 <= len([method for method, *_ in web.seen if method == "GET"]) <= requests
    if kind == "system":
        assert "HTTP status 503, after 5 tries" in result.error
    assert not any(secret in (result.error or "") + result.traceback for secret in SECRETS)


@pytest.mark.parametrize(
    ("path", "words", "requests"),
    [
        ("endless.png", "it has more than 2.0 MiB; --max-memory allows more", 3),
        ("no-http.png", "the server's answer cannot be understood: BadStatusLine", 2),
        ("circle.png", "the server's answer cannot be understood: TooManyRedirects", 30),
        ("gone.png", "after 5 tries: ServerDisconnectedError", 30),
        ("longer.png", "after 5 tries: ClientPayloadError", 30),
    ],
)
def test_a_server_that_lies_costs_its_picture_and_nothing_more(path, words, requests, web, folder):
    (result,) = run_files("edge", url(web, path), max_memory=2 << 20, skip_existing=True)
    assert words in result.error and len(web.seen) <= requests and not list(folder.iterdir())


def test_a_server_that_is_silent_is_not_waited_for_minutes(web, monkeypatch):
    monkeypatch.setattr(store, "SILENT", 0.2)
    monkeypatch.setattr(store, "TRIES", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (result,) = run_files("edge", f"http://127.0.0.1:{silent.getsockname()[1]}/a.png")
    assert result.error == "the store did not answer in time" and result.seconds < 10


def test_a_server_that_is_not_there_is_no_missing_picture(web):
    (result,) = run_files("edge", f"http://me:hunter2@127.0.0.1:{unused_port()}/a.pgm?sig=t0ken")
    assert result.kind == "system" and "after 5 tries" in result.error
    assert not any(secret in result.error for secret in SECRETS)


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_the_program_shows_no_secret(web, folder):
    done = subprocess.run(
        [sys.executable, "-m", "convfilter", "edge", "-vv", "--json", url(web, "403/a.pgm?sig=t0ken", "me:hunter2@"),
         url(web, "of/a.pgm?sig=t0ken", "me:hunter2@"), "-o", "out"],
        cwd=folder, capture_output=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout.count(b"\n") == 3, done.stderr
    assert b"hunter2" not in done.stdout + done.stderr and b"t0ken" not in done.stdout + done.stderr


def test_a_lost_connection_is_tried_again():
    class Losing(fsspec.get_filesystem_class("memory")):
        protocol, cachable, left = "losing", False, 2

        def cat_file(self, *arguments, **keywords):
            Losing.left -= 1
            if Losing.left >= 0:
                raise ConnectionResetError("gone")
            return b"here"

    lossy = store.Store(Losing(), "losing")
    assert lossy.head("/a", 9) == b"here"
    Losing.left = 9
    with pytest.raises(OSError, match="after 5 tries: ConnectionResetError: gone"):
        lossy.head("/a", 9)
    lossy.stopped.set()
    Losing.left = 1
    with pytest.raises(OSError, match="gone"):  # a run that was stopped waits for nothing
        lossy.head("/a", 9)


def test_an_archive_is_a_folder(folder):
    with zipfile.ZipFile("x.zip", "w") as archive:
        for name in ("a.pgm", "sub/is it #1? 100%.pgm", "sub/b.pgm"):
            archive.writestr(name, PICTURE)
    (folder / "plain.pgm").write_bytes(PICTURE)
    options = {"recursive": True, "output": "out"}
    found = [one.outputs[0] for one in run_files("edge", "zip://x.zip", **options)]
    assert found == ["out/a_edge.png", "out/sub/b_edge.png", "out/sub/is it #1? 100%_edge.png"]
    (one,) = run_files("edge", f"zip://sub/b.pgm::file://{folder}/x.zip", output="b.png")
    assert one.source == f"zip://sub/b.pgm::file://{folder}/x.zip"
    (two,) = run_files("edge", f"file://{folder}/plain.pgm")
    assert two.outputs == (f"{folder}/plain_edge.png",)
    pixels = [Path(path).read_bytes()[-30:] for path in ("b.png", "plain_edge.png", found[0])]
    assert len(set(pixels)) == 1
    with pytest.raises(UsageError, match=r"^-o zip://out::x.zip: only in s3://, gs://, az://, memory:// "):
        run_files("edge", "plain.pgm", output="zip://out::x.zip")
    (broken,) = run_files("edge", "zip://a.pgm::none.zip", output="out")
    assert (broken.kind, broken.error) == ("missing", "No such file or directory")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("s4://bucket/a.png", "s4:// is no scheme that fsspec knows"),
        ("s3:///a.png", "s3:///a.png: names no bucket; write s3://BUCKET/NAME"),
        ("s3://me:hunter2@bucket/a.png", "s3://bucket/a.png: give user and password in the environment"),
        ("gs://bucket/a.png", "the library for it is not installed: pip install 'convfilter[gs]'"),
    ],
)
def test_what_cannot_be_read_is_said_without_loading_torch(what, message, folder):
    if what.startswith("gs") and "gcsfs" in sys.modules:
        pytest.skip("gcsfs is installed")
    code = (
        "import sys, convfilter.__main__ as m\ntry: m.main()\nfinally: "
        "print([name for name in ('torch', 'numpy', 'PIL') if name in sys.modules])"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code, "edge", what], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    assert done.returncode == 2 and message in done.stderr and "hunter2" not in done.stderr
    assert done.stdout == "[]\n" and done.stderr.count("\n") == 1


def test_without_a_url_nothing_of_it_is_loaded(folder):
    (folder / "a.pgm").write_bytes(PICTURE)
    code = (
        "import sys; from convfilter import run_files; print(next(run_files('edge', 'a.pgm')).status, "
        "[name for name in sys.modules if name.partition('.')[0] in ('s3fs', 'aiohttp')"
        " or name in ('convfilter.run.remote', 'convfilter.remote.store')])"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": root})  # fmt: skip
    assert done.stdout == "done []\n", done.stderr


def test_what_a_library_says_when_it_connects_holds_no_secret(monkeypatch):
    def fail(url, **settings):
        raise OSError("no way to /repos/me/hunter2")

    monkeypatch.setattr(fsspec.core, "url_to_fs", fail)
    (result,) = run_files("edge", "github://me:hunter2@repo/a.png", output="out")
    assert result.error == "no way to /repos/me/..."


def test_a_file_url_is_a_path_for_outputs_too(folder):
    (folder / "a.pgm").write_bytes(PICTURE)
    (result,) = run_files("edge", "a.pgm", output=f"file://{folder}/b.png")
    assert result.outputs == (f"{folder}/b.png",) and (folder / "b.png").is_file()


def test_commands_of_one_file_write_none_behind_a_url():
    with pytest.raises(UsageError, match="URLs are written by presets and by run alone"):
        find_target("s3://bucket/a.html")


def test_a_stopped_store_puts_nothing():
    stores = Stores()
    place = stores.connect("memory://stopped/a")
    stores.stop()
    with pytest.raises(InterruptedError):
        place.store.put(place.path, b"x", create=False)
    assert not place.store.fs.exists(place.path)
