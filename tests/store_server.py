"""An S3 server of moto's in a process of its own, which can be told to be late, to fail, and to list many objects."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from xml.sax.saxutils import escape

BUCKET = "bucket"
MANY = "many"  # a bucket that says it holds as many objects as it is told, and holds none

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


class StoreServer:
    """A running server; ``environment`` lets s3:// lead to it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.url = self._process.stdout.readline().strip()
        self.environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.url}

    def tell(self, **settings: float) -> dict:
        """Change how it answers, and return how many requests of each method have come since the last time.

        ``every`` is the number of requests of which one gets a 5xx, ``late`` the seconds an answer takes, ``many`` how
        many objects the bucket MANY holds.
        """
        request = urllib.request.Request(f"{self.url}/-settings", json.dumps(settings).encode(), method="POST")
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def close(self) -> None:
        self._process.communicate()


class Middleware:
    """Around moto: settings, errors, and a bucket of any size."""

    def __init__(self, app) -> None:
        self.app, self.number, self.counts = app, 0, {}
        self.settings = {"every": 0, "late": 0, "many": 0}

    def __call__(self, environ, start_response):
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path == "/-settings":
            self.settings |= json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            counts, self.counts = self.counts, {}
            start_response("200 OK", [])
            return [json.dumps(counts).encode()]
        self.number += 1
        self.counts[method] = self.counts.get(method, 0) + 1
        time.sleep(self.settings["late"])
        if self.settings["every"] and self.number % self.settings["every"] == 0:
            status = ("500 Internal Server Error", "503 Slow Down")[self.number // self.settings["every"] % 2]
            self.counts["errors"] = self.counts.get("errors", 0) + 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(status, [("Content-Type", "text/plain")])
            return [b"injected"] if method != "HEAD" else []
        if path.strip("/") == MANY:
            start_response("200 OK", [("Content-Type", "application/xml")])
            return [page_of_many(environ["QUERY_STRING"], self.settings["many"]).encode()]
        return self.app(environ, start_response)


def page_of_many(query: str, many: int) -> str:
    """Return the answer to a listing of MANY: 1,000 keys, and where to go on."""
    asked = urllib.parse.parse_qs(query)
    start = int(asked.get("continuation-token", ["0"])[0])
    prefix = asked.get("prefix", [""])[0]
    end = min(start + 1000, many)
    keys = "".join(
        f"<Contents><Key>{escape(f'{prefix}img_{i:09}.png')}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f'<ETag>"{i:032x}"</ETag><Size>100</Size><StorageClass>STANDARD</StorageClass></Contents>'
        for i in range(start, end)
    )
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
    more = more if end < many else "<IsTruncated>false</IsTruncated>"
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    head = f"<Name>{MANY}</Name><KeyCount>{end - start}</KeyCount>"
    return f'<ListBucketResult xmlns="{space}">{head}{more}{keys}</ListBucketResult>'


def serve() -> None:
    """Serve until standard input ends."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, *arguments) -> None:
            pass

    os.environ.update(ENVIRONMENT)
    server = make_server("127.0.0.1", 0, Middleware(DomainDispatcherApplication(create_backend_app)),
                         threaded=True, request_handler=Quiet)  # fmt: skip
    import threading

    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    serve()
