"""What a hub has of a model (look_up), and what goes wrong with hubs, networks and disks, in words (in_words)."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infer.files import bytes_in_words
from infer.hub import FetchError
from infer.hub.listing import Model, size_of, status
from infer.settings import Settings
from words import Message, message

TIMEOUT_S = 30.0  # without a byte


@dataclass(frozen=True)
class Remote:
    """A file on the hub. digest: its SHA-256, or for small files what git calls them by (a SHA-1)."""

    repo: str
    commit: str
    name: str
    size: int
    digest: str

    def part(self, folder: Path) -> Path:
        """Where it grows. Another file under the same name starts anew."""
        return folder / f"{self.name}.{self.digest[:12]}.part"


@dataclass(frozen=True)
class Plan:
    """What fetching a model would do. endpoint: a mirror, None for the hub. lacking: files of a lenient model that no
    repository has."""

    model: Model
    folder: Path
    endpoint: str | None
    files: tuple[Remote, ...] = ()
    lacking: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes still to come; less than the files hold where a download was interrupted."""
        return sum(max(file.size - (size_of(file.part(self.folder)) or 0), 0) for file in self.files)

    @property
    def converted(self) -> int:
        """Bytes of the weights that will be written anew as safetensors."""
        return sum(file.size for file in self.files if file.name.endswith(".bin"))


def look_up(model: Model, settings: Settings, endpoint: str | None = None) -> Plan:
    """Ask the hub for names, sizes and hashes of what is missing. endpoint: a mirror, else HF_ENDPOINT, else the hub.

    Raises FetchError.
    """
    endpoint = endpoint or os.environ.get("HF_ENDPOINT") or None
    [now] = status(settings, [model])
    if now.ready:
        return Plan(model, now.folder, endpoint)
    with in_words(model, endpoint):
        from huggingface_hub.errors import HfHubHTTPError

        offered = _offered(model, model.repo, model.revision, endpoint)
        names = [name for name in model.files if name not in now.here]
        for name in names:
            if name not in offered and name in model.elsewhere:
                with suppress(HfHubHTTPError):  # then it counts as lacking
                    offered |= _offered(model, model.elsewhere[name], "main", endpoint, [name])
        lacking = [name for name in names if name not in offered]
        lost: list[str | Message] = [] if model.lenient else [*lacking]
        if not any(name in now.here for name in model.weights):  # last: with its weights a model is complete
            weights = [name for name in model.weights if name in offered]
            names += weights[:1]
            lost += [] if weights else [model.any_weights]
        if lost:
            raise FetchError("hub.lacks", repo=model.repo, names=lost, model=model.name)
        files = tuple(_remote(model, *offered[name], endpoint) for name in names if name in offered)
    return Plan(model, now.folder, endpoint, files, tuple(lacking))


def _offered(
    model: Model, repo: str, revision: str, endpoint: str | None, names: Sequence[str] = ()
) -> dict[str, tuple[str, str, Any]]:
    """Name -> (repository, commit, the hub's entry) of the files of ours that a repository has.

    Names from outside are only compared with ours: none of them ever becomes a path.
    """
    from huggingface_hub import HfApi

    info = HfApi(endpoint=endpoint).model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
    names = names or (*model.files, *model.weights)
    return {s.rfilename: (repo, info.sha or revision, s) for s in info.siblings or () if s.rfilename in names}


def _remote(model: Model, repo: str, commit: str, sibling: Any, endpoint: str | None) -> Remote:
    """Size and hash of a file of the hub's listing; a mirror that leaves them out there has them in the headers."""
    name, size, lfs = sibling.rfilename, sibling.size, sibling.lfs
    digest = lfs.sha256 if lfs else sibling.blob_id
    if size is None or not digest:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        url = hf_hub_url(repo, name, revision=commit, endpoint=endpoint)
        head = get_hf_file_metadata(url, headers=build_hf_headers(), endpoint=endpoint, timeout=TIMEOUT_S)
        size, digest = head.size, head.etag
    if size is None or not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", digest or ""):
        raise FetchError("hub.no_hash", host=host(endpoint), name=name, repo=repo)
    known = model.sha256.get(name, digest)
    if len(digest) == len(known) and digest != known:  # no need to fetch gigabytes to know it
        raise mismatch(model, repo, name, known, digest)
    return Remote(repo, commit, name, size, known)


@contextmanager
def in_words(model: Model, endpoint: str | None) -> Iterator[None]:
    """Errors of the hub, the network and the disk as FetchError: one sentence with the remedy."""
    from huggingface_hub.errors import HTTPError

    try:
        yield
    except (HTTPError, OSError) as error:
        facts: dict[str, Any] = {
            "host": host(endpoint),
            "repo": model.repo,
            "revision": model.revision,
            "model": model.name,
        }
        facts |= {"folder": model.folder, "size": bytes_in_words(model.size)}
        facts["reason"] = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        facts["code"] = getattr(getattr(error, "response", None), "status_code", 0)
        raise FetchError(_sentence(error, facts["code"]), **facts) from error


def _sentence(error: Exception, code: int) -> str:
    """The key of what is said about an error. code: the status of the hub's answer."""
    from filelock import Timeout
    from huggingface_hub import errors

    match error:
        case errors.OfflineModeIsEnabled():
            return "hub.offline"
        case errors.RevisionNotFoundError():
            return "hub.no_revision"
        case errors.RemoteEntryNotFoundError():
            return "hub.gone"
        case errors.GatedRepoError():
            return "hub.refuses"
        case errors.RepositoryNotFoundError():
            return "hub.no_repository"
        case errors.HfHubHTTPError():
            return {404: "hub.no_repository", 401: "hub.refuses", 403: "hub.refuses"}.get(code, "hub.answers")
        case errors.HTTPError():
            return "hub.unreachable"
        case Timeout():
            return "hub.busy"
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return "hub.full"
    return "hub.unwritable"


def mismatch(model: Model, repo: str, name: str, expected: str, digest: str) -> FetchError:
    """What is said of a file with another hash than expected."""
    return FetchError(
        "hub.mismatch", name=name, repo=repo, digest=digest[:12], expected=expected[:12], model=model.name
    )


def host(endpoint: str | None) -> str | Message:
    return endpoint or message("hub.hub")
