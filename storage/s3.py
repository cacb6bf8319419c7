"""What S3 says, in words a person can act on, and the few things that only S3 has.

Credentials, profiles, endpoints and attempts are boto's business: AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL,
AWS_MAX_ATTEMPTS, a role of the machine. Where no S3 is used its libraries are not imported: what they raise is known
by their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, cast

from fsspec import AbstractFileSystem

OPTIONS = {"use_listings_cache": False}
"""Another process may publish at any moment: what was listed a minute ago says nothing."""
PART = 16 << 20
"""Bytes of a part. What is larger than two goes up in parts, and only a part that was cut off is sent again."""

_CLIENTS = {"aiobotocore", "aiohttp", "botocore"}
_AGAIN = "Run again later: nothing that was committed is lost. AWS_MAX_ATTEMPTS says how often a request is tried"
_RIGHTS = "Check the credentials (AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret) and what they may do in the bucket"
_CLOCK = "Set the clock of this machine (timedatectl, chronyc tracking): S3 refuses requests of another time"
_REMEDIES = {
    "AccessDenied": _RIGHTS,
    "403": f"{_RIGHTS}, and the clock of this machine",  # the answer to a HEAD has no words that would tell which
    "RequestTimeTooSkewed": _CLOCK,
    "ExpiredToken": _RIGHTS,
    "InvalidAccessKeyId": _RIGHTS,
    "SignatureDoesNotMatch": _RIGHTS,
    "NoSuchBucket": "Make the bucket, or check its name and AWS_ENDPOINT_URL",
    "NotImplemented": "The store knows no conditional writes (If-None-Match), which snapshots need: use one that does",
    "NoCredentialsError": "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "PartialCredentialsError": "Set AWS_PROFILE, or both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "ProfileNotFound": "Set AWS_PROFILE to a profile that the AWS configuration has",
    "EndpointConnectionError": f"Check AWS_ENDPOINT_URL and the network. {_AGAIN}",
}


@cache
def prepare() -> None:
    """Makes s3fs try a request again whose connection was reset, as it does with one that ended in any other way.

    Raises:
        ImportError: a package of S3 is missing.
    """
    from botocore.exceptions import EndpointConnectionError
    from s3fs.core import add_retryable_error

    add_retryable_error(EndpointConnectionError)


def is_s3(fs: AbstractFileSystem) -> bool:
    """Whether a file system is S3, so that its own calls are there."""
    return "s3" in (fs.protocol if isinstance(fs.protocol, tuple | list) else (fs.protocol,))


def is_refusal(error: BaseException) -> bool:
    """Whether an error comes out of the client of S3. Not all of them are errors of a file system to Python."""
    return any(kind.__module__.partition(".")[0] in _CLIENTS for kind in type(error).__mro__)


def explain(error: BaseException) -> tuple[str, str] | None:
    """Cause and remedy of an error that S3 or its client gave; None for any other."""
    answer = _answer(error)
    if answer is not None:
        code, message = answer
        words = f"S3 answered {code}" + (f" ({message})" if message and message != code else "")
        return words, _REMEDIES.get(code, _AGAIN)
    refused = next((one for one in (error, error.__cause__) if one is not None and is_refusal(one)), None)
    if refused is None:
        return None
    name = type(refused).__name__
    return " ".join(str(refused).split()) or name, _REMEDIES.get(name, _AGAIN)


def is_taken(error: OSError) -> bool:
    """Whether a conditional write failed since there is an object of this name."""
    return isinstance(error, FileExistsError) or (_answer(error) or ("", ""))[0] in {"PreconditionFailed", "412"}


def is_contended(error: OSError) -> bool:
    """Whether two conditional writes met at one moment, of which S3 asks to try this one again."""
    return (_answer(error) or ("", ""))[0] in {"ConditionalRequestConflict", "409"}


@dataclass(frozen=True)
class Upload:
    """A multipart upload that was begun and never ended. Nobody sees its parts, but they are stored and paid for."""

    key: str
    id: str
    begun: datetime
    size: int


def open_uploads(fs: AbstractFileSystem, root: str) -> Iterator[Upload]:
    """The unended multipart uploads below a folder.

    Raises:
        OSError, or an error of the client: S3 refuses.
    """
    client = cast(Any, fs)
    bucket, prefix, _ = client.split_path(root)
    asked: dict[str, str] = {}
    while True:
        page = client.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", **asked)
        for upload in page.get("Uploads", ()):
            parts = client.call_s3("list_parts", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            size = sum(int(part["Size"]) for part in parts.get("Parts", ()))
            yield Upload(upload["Key"], upload["UploadId"], upload["Initiated"], size)
        if not page.get("IsTruncated"):
            return
        asked = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def abort_upload(fs: AbstractFileSystem, root: str, upload: Upload) -> None:
    """Removes the parts of an unended multipart upload.

    Raises:
        OSError, or an error of the client: S3 refuses.
    """
    client = cast(Any, fs)
    bucket, _, _ = client.split_path(root)
    client.call_s3("abort_multipart_upload", Bucket=bucket, Key=upload.key, UploadId=upload.id)


def _answer(error: BaseException) -> tuple[str, str] | None:
    """Code and message of the answer that an error stands for."""
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, dict) and isinstance(response.get("Error"), dict):
            said = response["Error"]
            return str(said.get("Code", "an error")), str(said.get("Message", ""))
    return None
