"""Connect obstore to an S3 root with the server, region, credentials and timeouts that pyarrow uses there.

obstore takes S3 credentials from the URI, the environment, a web identity or the machine's role, but not from a profile
in ~/.aws, and it does not know all of pyarrow's URI options. `same_identity` says whether both would be the same user.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from obstore.store import S3Store

from network_atlas.files.filesystems import S3_SECONDS

if TYPE_CHECKING:
    from obstore.store import S3Config

CARRIED = frozenset(
    {"endpoint_override", "scheme", "region", "tls_verify_certificates", "force_virtual_addressing", *S3_SECONDS}
)
"""Options of an s3:// URI that matter to a conditional put and that obstore has too."""
IRRELEVANT = frozenset({"allow_bucket_creation", "allow_bucket_deletion", "allow_delayed_open", "background_writes"})


def same_identity(root: str) -> bool:
    """Say whether obstore would connect as the same user as pyarrow, with all of the URI's options."""
    parts = urlsplit(root)
    if set(dict(parse_qsl(parts.query, keep_blank_values=True))) - CARRIED - IRRELEVANT:
        return False
    if parts.username or os.environ.get("AWS_ACCESS_KEY_ID"):
        return True
    # With a profile, pyarrow would use its keys, but obstore the machine's role.
    profile = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    return not (os.environ.get("AWS_PROFILE") or Path(profile).expanduser().exists())


def connected(root: str, bucket: str, region: str) -> S3Store:
    """Return a connection to a bucket with the options of an s3:// URI. It does not try again by itself."""
    config, query = _s3_options(root, region)
    return S3Store(
        bucket,
        config=config,
        client_options={
            "allow_http": query.get("scheme") == "http",
            "allow_invalid_certificates": query.get("tls_verify_certificates", "true").lower() in ("false", "0"),
            "connect_timeout": _seconds(query, "connect_timeout"),
            "timeout": _seconds(query, "request_timeout"),
        },
        # The caller tries again instead: obstore would not repeat a conditional put whose answer was lost.
        retry_config={"max_retries": 0},
    )


def _s3_options(root: str, region: str) -> tuple[S3Config, dict[str, str]]:
    """Return obstore's configuration for an s3:// URI, and the URI's options."""
    parts = urlsplit(root)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    options: S3Config = {"region": region}
    if "endpoint_override" in query:
        endpoint = query["endpoint_override"]
        options["endpoint"] = endpoint if "://" in endpoint else f"{query.get('scheme', 'https')}://{endpoint}"
    if parts.username:
        options["access_key_id"] = unquote(parts.username)
        options["secret_access_key"] = unquote(parts.password or "")
    virtual = query.get("force_virtual_addressing", "").lower() in ("true", "1")
    options["virtual_hosted_style_request"] = virtual
    return options, query


def _seconds(query: Mapping[str, str], name: str) -> timedelta:
    return timedelta(seconds=float(query.get(name, S3_SECONDS[name])))
