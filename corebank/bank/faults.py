"""What goes wrong where banks lie, as sentences: which bank, what happened, what to do.

Icechunk, the S3 clients and the system wrap the same few causes in many ways: Rust tracebacks, XML codes, numbers of
errors. `told` is the one place that reads them. A writer that meets any of these has committed nothing: the last
commit of a bank stands until the next is whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from corebank.errors import BankError, CorebankError, Where


class StorageError(BankError, OSError):
    """A bank cannot be reached, read or written where it lies."""


class UnexplainedError(StorageError):
    """A store refused, and no reason came with it."""


_SYSTEM = r"\(os error {0}\)|\[Errno {0}\]"


def _system(*numbers: int) -> str:
    return "|".join(_SYSTEM.format(number) for number in numbers)


_CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        rf"No space left on device|Disk quota exceeded|{_system(28, 122)}",
        "the disk is full",
        "Free some space and do it again; the bank stands at its last commit",
    ),
    (
        rf"File too large|{_system(27)}",
        "a file grew beyond what this account may write",
        "Raise the limit (ulimit -f, or the quota) and do it again; the bank stands at its last commit",
    ),
    (
        rf"Read-only file system|{_system(30)}",
        "lies on a disk that can only be read",
        "Write to the bank where it was made, or copy it to a disk of your own",
    ),
    (
        (
            r"RequestTimeTooSkewed|RequestExpired|RequestInTheFuture|clock has drifted|timestamp is invalid|"
            r"InvalidSnapshotTimestamp|timestamp ordering"
        ),
        "the clock of this machine disagrees with that of the last commit, the disk or the store",
        "Set the clock (with NTP) and do it again; the bank stands at its last commit",
    ),
    (
        (
            r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|TokenRefreshRequired|InvalidToken|InvalidClientTokenId|"
            r"Unable to locate credentials|NoCredentials|CredentialsNotLoaded|failed to load credentials|"
            r"Partial credentials|provider error|ProfileNotFound|config profile .* could not be found"
        ),
        "the store does not accept the credentials",
        (
            "Look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_PROFILE; "
            "with none of them set, requests are anonymous"
        ),
    ),
    (
        r"NoSuchBucket|bucket does not exist",
        "there is no such bucket",
        "Look at the address and at AWS_ENDPOINT_URL; a bucket is made with the store's own tools",
    ),
    (
        r"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint|Moved Permanently",
        "the bucket lies in another region",
        "Set AWS_REGION to the bucket's region",
    ),
    (
        (
            rf"AccessDenied|AllAccessDisabled|Access Denied|Forbidden|\b403\b|Permission denied|"
            rf"Operation not permitted|{_system(1, 13)}"
        ),
        "this account may not do that there",
        "Ask its owner for the right to read or to write; for S3, look at the AWS_* variables and the bucket's policy",
    ),
    (
        (
            r"dispatch failure|[Cc]onnection (refused|reset|aborted|error)|tcp connect|dns error|Could not connect|"
            r"Cannot connect|ConnectTimeout|Connection(Refused|Reset)|Max retries exceeded|Name or service not known|"
            r"Failed to resolve|gaierror|error sending request|[Tt]imed? ?out|TimeoutError|ServerDisconnected|"
            r"[Cc]onnection (was )?closed|end of file before message|streaming error"
        ),
        "cannot be reached",
        "Look at the network, the address and (for S3) AWS_ENDPOINT_URL, then try again",
    ),
    (
        (
            r"InternalError|SlowDown|ServiceUnavailable|Service Unavailable|Internal Server Error|RequestTimeout|"
            r"Bad Gateway|Gateway Time-?out|TooManyRequests|\b50[0234]\b|\b429\b"
        ),
        "the store answers with errors of its own",
        "Try again later; the bank stands at its last commit",
    ),
    (
        r"[Oo]bject not found|NoSuchKey|\b404\b|No such file or directory|[Ss]napshot not found|chunk .*not found",
        "a file of the repository is missing",
        "Run corebank verify to see what is lost, and bring it back from a backup",
    ),
    (
        r"Range|partial content",
        "the server sends whole files where a part was asked for (it does not support Range requests)",
        "Serve the bank with nginx, Apache or Caddy; Python's http.server cannot",
    ),
    (
        rf"[Ii]nput/output error|{_system(5)}",
        "the disk fails",
        "Copy what can still be read, and bring the bank back from a backup",
    ),
)
"""Pattern in the error, what happened, what to do; the first that fits counts, so the narrower stand first."""


def told(address: Where, error: BaseException) -> StorageError:
    """What `error`, met at the bank at `address`, means; the cause itself goes along as ``__cause__`` when raised."""
    words = _words(error).replace(str(address), "")
    for pattern, found, fix in _CAUSES:
        if re.search(pattern, words):
            return StorageError(address, found, fix)
    if "service error" in words:
        return UnexplainedError(
            address,
            "the store refused, and gave no reason",
            "Try again; if it stays so, look at the AWS_* variables and what the store's own log says",
        )
    return StorageError(
        address,
        f"the repository says: {_plain(error).split(' -> ')[-1] or type(error).__name__}",
        "Run corebank verify to see whether anything is damaged; the bank stands at its last commit",
    )


def _plain(error: BaseException) -> str:
    """What an error says, on one line, without the places in Icechunk's source (nor the message of the commit)."""
    text = re.sub(r"^[ |]*(context:|\d+: |with |at ).*$", "", str(error), flags=re.MULTILINE)
    return re.sub(r"\s+", " ", re.sub(r"^[ ]*[|`]-> ", " -> ", text, flags=re.MULTILINE).replace("\n  | ", " ")).strip(
        " |"
    )


def _words(error: BaseException) -> str:
    """All that an error and its causes say."""
    said, seen = [], set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        said.append(f"{type(current).__name__}: {_plain(current)}")
        current = current.__cause__ or current.__context__
    return "\n".join(said)


@contextmanager
def telling(address: Where, *kinds: type[BaseException]) -> Iterator[None]:
    """Raise what `told` makes of errors of these `kinds`; corebank's own pass as they are.

    Icechunk panics over some damaged bytes, with an exception that it does not export and that is no `Exception`.
    """
    try:
        yield
    except CorebankError:
        raise
    except BaseException as error:
        if isinstance(error, kinds) or type(error).__name__ == "PanicException":
            raise told(address, error) from error
        raise
