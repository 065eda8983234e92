"""A real S3 server (moto's) on loopback, and addresses in it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from network_atlas.store.root import Store

_BESIDE_PYTHON = str(Path(sys.executable).parent)
MOTO = shutil.which("moto_server", path=_BESIDE_PYTHON) or shutil.which("moto_server")
needs_s3 = pytest.mark.skipif(MOTO is None, reason="needs moto_server (pip install 'moto[server]')")
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": "us-east-1",
}


@contextmanager
def s3_server() -> Iterator[int]:
    """Start a server and yield its port; clients need the variables of ENVIRONMENT."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [str(MOTO), "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def s3_bucket() -> Iterator[int]:
    """Start a server with an empty bucket 'bucket' and yield its port; the environment is set as long as it runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        with s3_server() as port:
            Store.open(uri(port, "bucket/")).filesystem.create_dir("bucket")
            yield port


def moto_version() -> str:
    """Return the version of the server's package, '' where it is not known."""
    python = shutil.which("python", path=str(Path(str(MOTO)).parent))
    command = [str(python), "-c", "import importlib.metadata as m; print(m.version('moto'))"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() if python else ""


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if server.poll() is not None:
            pytest.skip("moto_server does not start")
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.skip("moto_server does not answer")


def uri(port: int, path: str, **more: object) -> str:
    """Return the URI of `path`, which begins with a bucket, on the server at a port of this machine."""
    asked = {"endpoint_override": f"127.0.0.1:{port}", "scheme": "http", "allow_bucket_creation": "true"} | more
    return f"s3://{path}?" + "&".join(f"{name}={value}" for name, value in asked.items())
