"""A server of S3's protocol, in a process of its own, with its data in memory: moto's.

    python -m tests.s3_server          # prints its address

Beside S3 it takes `POST /older?bucket=B&key=K&seconds=N`: an object was written so many seconds earlier.
"""

import logging
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from subprocess import DEVNULL, PIPE, Popen
from typing import Any
from urllib.parse import parse_qs, urlencode

KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "of-no-use-elsewhere", "AWS_REGION": "us-east-1"}


@contextmanager
def served() -> Iterator[str]:
    """The address of a server, for as long as the body runs."""
    with Popen([sys.executable, "-m", "tests.s3_server"], stdout=PIPE, stderr=DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def make_bucket(address: str, bucket: str) -> None:
    """Signed, which servers other than moto's insist on."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    signed = AWSRequest("PUT", f"{address}/{bucket}")
    keys = Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"])
    S3SigV4Auth(keys, "s3", KEYS["AWS_REGION"]).add_auth(signed)
    request = urllib.request.Request(f"{address}/{bucket}", headers=dict(signed.headers), method="PUT")
    urllib.request.urlopen(request, timeout=60).close()


def make_older(address: str, bucket: str, key: str, seconds: float) -> None:
    query = urlencode({"bucket": bucket, "key": key, "seconds": seconds})
    urllib.request.urlopen(f"{address}/older?{query}", b"", timeout=60).close()


def main() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from moto.s3.models import s3_backends
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    serve: Any = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()  # else moto looks, and then writes, while another does

    def answer(environ: Mapping[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/older":
            with nullcontext() if environ["REQUEST_METHOD"] in ("GET", "HEAD") else one_at_a_time:
                return serve(environ, start)
        asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        backends = next(iter(s3_backends.values()))
        piece: Any = backends["aws"].get_object(asked["bucket"], asked["key"])
        piece.last_modified -= timedelta(seconds=float(asked["seconds"]))
        start("204 No Content", [])
        return []

    server = make_server("127.0.0.1", 0, answer, threaded=True)
    print(f"http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
