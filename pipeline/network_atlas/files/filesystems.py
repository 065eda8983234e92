"""Open pyarrow's filesystems, set up to wait for a server that is slow or refuses.

    filesystem, path = open_filesystem("s3://bucket/atlas?endpoint_override=host:9000&scheme=http&request_timeout=60")

Google's and Azure's clients wait and try again by themselves. S3's client, opened by a URI, asks five times a second
for six seconds and then gives up, and it gives up after three seconds of silence. Here it gets Amazon's standard
strategy instead (three tries with growing, random waits), which also covers each of the many requests behind one large
file. `network_atlas.files.retries` wraps that, for failures that take longer.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from pyarrow import fs

from network_atlas.files.retries import while_folders_change

S3_TRIES = 3
S3_SECONDS = {"connect_timeout": 5.0, "request_timeout": 20.0}
"""Longest wait for a connection, and longest silence while a request is answered. A URI may give other numbers."""


def is_uri(root: str) -> bool:
    """Say whether `root` is a URI and not a path of this machine."""
    return "://" in root


def split_query(root: str) -> tuple[str, str]:
    """Return a root without the query of its URI, and the query with its '?'; a path of this machine has none."""
    path, mark, query = root.partition("?") if is_uri(root) else (root, "", "")
    return path, mark + query


def files_below(filesystem: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    """Return what pyarrow knows of every file below a folder, which need not exist.

    Another process may make or remove folders meanwhile. pyarrow calls a folder not found that goes, or comes, between
    two of its looks, at any depth, even where it may be missing; then all is listed again.
    """
    selector = fs.FileSelector(folder, recursive=True, allow_not_found=True)
    infos: list[fs.FileInfo] = while_folders_change(lambda: filesystem.get_file_info(selector))
    return [info for info in infos if info.type == fs.FileType.File]


def open_filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """Return the filesystem of a URI and the path in it.

    Raises ValueError, OSError or ArrowException as pyarrow does, for a URI that it does not understand.
    """
    if not uri.startswith("s3://"):
        opened: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(uri)
        return opened
    address, _, query = uri.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    seconds = S3_SECONDS | {name: float(options.pop(name)) for name in S3_SECONDS if name in options}
    # A file that fits one request is sent as one whole put, not as an upload in parts.
    options.setdefault("allow_delayed_open", "true")
    filesystem, path = fs.FileSystem.from_uri(f"{address}?{urlencode(options)}")
    return _with_strategy(filesystem, options, seconds), path


def _with_strategy(filesystem: fs.FileSystem, options: dict[str, str], seconds: dict[str, float]) -> fs.FileSystem:
    """Return an S3 filesystem with our strategy and times; `options` are those of its URI.

    Only the constructor takes a strategy, and only a URI takes some options, such as tls_verify_certificates: with
    such an option the filesystem stays as it is.
    """
    arguments = _arguments(filesystem)
    if not set(options) <= set(arguments):
        return filesystem
    return fs.S3FileSystem(
        **arguments | seconds,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=S3_TRIES),
    )


def _arguments(filesystem: fs.FileSystem) -> dict[str, Any]:
    """Return the arguments that make another filesystem like this one, which are those that pickling keeps."""
    _, (arguments,) = filesystem.__reduce__()
    return dict(arguments)
