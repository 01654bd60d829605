"""Model files, brought from a hub into the project's folders (bring).

huggingface_hub looks them up and signs in; the bytes come by plain HTTP into a file NAME.….part beside the target, so
an interrupted download goes on where it stopped, also in another process (hf_hub_download of huggingface_hub 2 starts
anew, and its Xet transfer neither resumes nor passes through every mirror). Only a verified file gets its name. Weights
that a repository has as pickle only are read as tensors and written as safetensors.
"""

import hashlib
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from infer.files import bytes_in_words, settle
from infer.hub import FetchError
from infer.hub.convert import Progress, convert
from infer.hub.listing import MODELS, Model
from infer.hub.repository import TIMEOUT_S, Plan, Remote, host, in_words, mismatch
from words import Message, message

SAFETENSORS = "model.safetensors"
SPARE = 64 << 20  # bytes of the disk that are left free
RETRIES = 5  # in a row without progress; the waits between them double, from PAUSE_S on
PAUSE_S = 1.0


def check_space(plans: Sequence[Plan], keep_bin: bool = False) -> None:
    """Raises FetchError if what the plans bring does not fit on the disk. Conversion needs both files for a while."""
    disks = defaultdict(list)
    for plan in plans:
        parent = next(path for path in (plan.folder, *plan.folder.parents) if path.exists())
        disks[parent.stat().st_dev].append((parent, plan))
    for entries in disks.values():
        parent, copies = entries[0][0], [plan.converted for _, plan in entries]
        needed = sum(plan.size for _, plan in entries) + (sum(copies) if keep_bin else max(copies))
        free = shutil.disk_usage(parent).free
        if needed and needed + SPARE > free:
            names = [plan.model.name for _, plan in entries if plan.files]
            raise FetchError(
                "hub.no_space", names=names, needed=bytes_in_words(needed + SPARE), free=bytes_in_words(free)
            )


def bring(plan: Plan, progress: Progress = lambda *_: None, keep_bin: bool = False) -> list[Message]:
    """Download, verify, convert and put in place, file by file. Interrupted, it goes on the next time.

    Returns what each file was verified by. Raises FetchError.
    """
    from huggingface_hub.utils import WeakFileLock

    check_space([plan], keep_bin)
    if not plan.files:
        return []
    with in_words(plan.model, plan.endpoint):
        plan.folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(plan.folder / ".fetch.lock", timeout=1):  # two that append to one file would spoil it
            return [line for file in plan.files for line in _bring(plan, file, progress, keep_bin)]


def _bring(plan: Plan, file: Remote, progress: Progress, keep_bin: bool) -> list[Message]:
    label, part, target = f"{plan.model.name}: {file.name}", file.part(plan.folder), plan.folder / file.name
    for stale in set(plan.folder.glob(f"{file.name}.*.part")) - {part}:
        stale.unlink()
    _download(plan, file, part, partial(progress, label))
    _verify(plan.model, file, part, partial(progress, f"{label} (checking)"))
    if not file.name.endswith(".bin"):
        settle(part, target)
        return [_proof(file)]
    source = f"{file.repo}@{file.commit}/{file.name}"
    try:
        convert(part, plan.folder / SAFETENSORS, {"source": source, "sha256": file.digest}, progress)
    except FetchError:
        part.unlink()  # it will not get better
        raise
    if keep_bin:
        settle(part, target)
    else:
        part.unlink()
    return [_proof(file), message("hub.converted", name=SAFETENSORS, source=file.name)]


def _download(plan: Plan, file: Remote, part: Path, tick: Callable[[int, int], None]) -> None:
    """Let the part grow to the file's size; a broken connection is taken up again."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    part.touch()
    failures = 0
    while (have := part.stat().st_size) != file.size:
        tick(have, file.size)
        problem: Exception = FetchError("hub.incomplete", host=host(plan.endpoint), name=file.name)
        try:
            _receive(plan, file, part, have, tick)
        except HTTPError as error:
            if isinstance(error, HfHubHTTPError) and error.response.status_code not in (408, 429, *range(500, 600)):
                raise
            problem = error  # it may pass
        failures = 0 if have < part.stat().st_size <= file.size else failures + 1
        if failures > RETRIES:
            raise problem
        if failures:
            time.sleep(PAUSE_S * 2 ** (failures - 1))
    tick(file.size, file.size)


def _receive(plan: Plan, file: Remote, part: Path, have: int, tick: Callable[[int, int], None]) -> None:
    """One request for what is missing of the part."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    url = hf_hub_url(file.repo, file.name, revision=file.commit, endpoint=plan.endpoint)
    # Packed text has another length, and a place in it is another place.
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if 0 < have < file.size:
        headers["Range"] = f"bytes={have}-"
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_S) as response:
        hf_raise_for_status(response)
        goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if goes_on else 0
        with part.open("ab" if goes_on else "wb") as out:
            for chunk in response.iter_bytes():  # as it comes: gathered, it would be lost with the connection
                have += out.write(chunk)
                if have > file.size:  # not the file that was announced: the part is begun anew
                    return
                tick(have, file.size)


def _verify(model: Model, file: Remote, path: Path, tick: Callable[[int, int], None]) -> None:
    """Raises FetchError, with the bytes thrown away, if they are not those of the digest."""
    git = len(file.digest) == 40  # git's name of a file: SHA-1 of a header and the content
    hasher = hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False) if git else hashlib.sha256()
    done = 0
    with path.open("rb") as stream:
        while chunk := stream.read(8 << 20):
            hasher.update(chunk)
            done += len(chunk)
            tick(done, file.size)
    if hasher.hexdigest() != file.digest:
        path.unlink()
        raise mismatch(model, file.repo, file.name, file.digest, hasher.hexdigest())


def _proof(file: Remote) -> Message:
    """By what a verified file was verified."""
    known = any(file.digest in model.sha256.values() for model in MODELS)
    key = "hub.git_blob" if len(file.digest) == 40 else "hub.known_file" if known else "hub.sha256"
    return message(key, name=file.name, digest=file.digest[:12])
