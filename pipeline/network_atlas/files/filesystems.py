"""pyarrow's filesystems as the store and datasets use them: each set up to wait for a server that is slow or refuses.

    filesystem, path = open_filesystem("s3://bucket/atlas?endpoint_override=host:9000&scheme=http&request_timeout=60")

Google's and Azure's clients wait and try again by themselves. S3's, opened by a URI, would ask five times a second for
six seconds and then give up, and take three seconds of silence for the end. It gets Amazon's standard strategy
instead (three tries with growing, random waits), which also covers each of the many requests behind one large file;
`network_atlas.files.retries` stands above that, for what takes longer.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from pyarrow import fs

S3_TRIES = 3
S3_SECONDS = {"connect_timeout": 5.0, "request_timeout": 20.0}
"""For a connection, and of silence while a request is answered. A URI may say others."""


def open_filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """Return the filesystem of a URI and the path in it.

    Raises ValueError, OSError or ArrowException as pyarrow does, for a URI that it can't make sense of.
    """
    if not uri.startswith("s3://"):
        opened: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(uri)
        return opened
    address, _, query = uri.partition("?")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    seconds = S3_SECONDS | {name: float(asked.pop(name)) for name in S3_SECONDS if name in asked}
    # A file that fits one request is sent as one whole put, not as an upload in parts.
    asked.setdefault("allow_delayed_open", "true")
    filesystem, path = fs.FileSystem.from_uri(f"{address}?{urlencode(asked)}")
    return _enduring(filesystem, asked, seconds), path


def _enduring(filesystem: fs.FileSystem, asked: dict[str, str], seconds: dict[str, float]) -> fs.FileSystem:
    """Return an S3 filesystem with our strategy and times: only its constructor takes these, and no URI."""
    options = _options(filesystem)
    if not set(asked) <= set(options):  # such as tls_verify_certificates, which only a URI can say
        return filesystem
    return fs.S3FileSystem(
        **options | seconds,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=S3_TRIES),
    )


def _options(filesystem: fs.FileSystem) -> dict[str, Any]:
    """Return the arguments that make another filesystem like this one; they are what pickling keeps."""
    _, (options,) = filesystem.__reduce__()
    return dict(options)
