"""How a bucket is reached: address, credentials, region.  All but the address is what AWS's own programs go by.

    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, else ~/.aws (AWS_PROFILE), SSO, the machine's role ...
    AWS_REGION, AWS_DEFAULT_REGION or ~/.aws/config
    AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or ~/.aws/config         of another server than Amazon's

They are read anew by each process, never printed and never stored.
"""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from em.errors import InputError, require
from em.model.cache import cache_folder
from em.trial.identity import content_id

SCHEME = "s3://"
REFRESH = timedelta(minutes=5)  # after which credentials are asked for again: those of roles expire
NO_REGION = "us-east-1"
TIMEOUTS: dict[str, Any] = {"connect_timeout": "5s", "timeout": "120s"}  # of a request
MISTAKES = {  # what a store says, and what to do
    "NoSuchBucket": "make the bucket, or name another one",
    "NotImplemented": "this server has no conditional writes: take another one",
    "InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|Unauthorized": "check the credentials (AWS_*)",
    "AccessDenied|Forbidden": "these credentials may not list, read, write and delete there: use others",
    "PermanentRedirect|redirect|AuthorizationHeaderMalformed|IllegalLocation": "set AWS_REGION to the bucket's region",
}


def is_url(store: str) -> bool:
    return "://" in store


def beside(url: str) -> Path:
    """The folder of this machine for what cannot lie in a bucket."""
    return cache_folder() / "stores" / content_id(url.rstrip("/"))


def access(url: str) -> tuple[str, str, dict[str, Any]]:
    """Bucket, prefix, and what obstore's S3Store is told beside them.

    Raises InputError for an address of another kind, and where there are no credentials.
    """
    bucket, _, prefix = url.removeprefix(SCHEME).strip("/").partition("/")
    form = "give s3://bucket/prefix, or a folder"
    require(url.startswith(SCHEME) and bool(bucket and prefix), "store", url, form)
    named = re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket) and not {"", ".", ".."} & {*prefix.split("/")}
    require(bool(named), "store", url, f"no bucket or prefix can be called so; {form}")
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        session = Session()
        region = os.environ.get("AWS_REGION") or session.get_config_variable("region") or NO_REGION
        credentials = session.get_credentials()
        endpoint = endpoint_of(session)
    except BotoCoreError as error:
        raise InputError(f"store={url}: {error}; mend AWS_PROFILE, ~/.aws/config or ~/.aws/credentials") from None
    remedy = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run `aws configure`"
    require(credentials is not None, "store", url, remedy)

    def current() -> Any:
        now = credentials.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + REFRESH,
        }

    client = TIMEOUTS | {"allow_http": endpoint.startswith("http://")}
    options = {"region": region, "credential_provider": current, "client_options": client}
    return bucket, prefix, options | ({"endpoint": endpoint} if endpoint else {})


def endpoint_of(session: Any) -> str:
    """The server's address; empty: Amazon's."""
    given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return given or session.get_scoped_config().get("endpoint_url", "")


def mistake(url: str, said: str) -> InputError | None:
    """The error for what a store says, where that is something that a user can mend."""
    remedy = next((remedy for pattern, remedy in MISTAKES.items() if re.search(pattern, said)), "")
    return InputError(f"store={url}: {said}; {remedy}") if remedy else None
