"""The large model files, brought from a model hub into the project's folders: python -m infer.models bert clap

huggingface_hub looks them up and signs in; the bytes come by plain HTTP into a file NAME.….part beside the target, so
an interrupted download goes on where it stopped, also in another process (hf_hub_download of huggingface_hub 2 starts
anew, and its Xet transfer neither resumes nor passes through every mirror). Only a verified file gets its name. Weights
that a repository has as pickle only are read as tensors and written as safetensors.
Exit codes: 0 done, 2 a request or setting at fault, 1 anything else, 130 interrupted.
"""

import errno
import hashlib
import os
import re
import shutil
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import bert
import emotional
from infer.request import SpeechError
from infer.settings import ROOT, Settings
from text import g2pw

SAFETENSORS = "model.safetensors"
SPARE = 64 << 20  # bytes of the disk that are left free
TIMEOUT_S = 30.0  # without a byte
RETRIES = 5  # in a row without progress; the waits between them double, from PAUSE_S on
PAUSE_S = 1.0

Progress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all


class FetchError(SpeechError):
    """Why a model did not come, and the cure, in one sentence."""


@dataclass(frozen=True)
class Item:
    """A model that can be fetched.

    files: needed, all of them. weights: one is needed, and the first that the repository has is taken. elsewhere: other
    repositories for files that the repository lacks. lenient: what none has is told, and the rest comes. sha256: of
    files that other deployments of the same checkpoints verify. size: bytes, about. setting: its folder, else `folder`.
    revision: no commit is known here for certain, so it is the branch; what comes is pinned by the hashes, and all of
    it is of the commit that the branch stands for when the download begins.
    """

    name: str
    repo: str
    folder: str
    size: int
    use: tuple[str, str]
    files: tuple[str, ...]
    weights: tuple[str, ...]
    setting: str
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    lenient: bool = False
    sha256: Mapping[str, str] = field(default_factory=dict)
    revision: str = "main"


ERLANGSHEN, ROBERTA = bert.REPOSITORIES

ITEMS = (
    Item(
        name="bert",
        repo=bert.REPOSITORIES[ERLANGSHEN],
        folder=f"bert/{ERLANGSHEN}",
        size=5_000_000_000,
        use=("features of the text, for every voice of your own", "文字的特征，自己的音色都需要"),
        files=bert.FILES,
        weights=bert.WEIGHTS,
        setting="bert_path",
        sha256={"pytorch_model.bin": "3456bb8f2c7157985688a4cb5cecdb9e229cb1dcf785b01545c611462ffe3579"},
    ),
    Item(
        name="clap",
        repo=emotional.REPOSITORY,
        folder="emotional/clap-htsat-fused",
        size=600_000_000,
        use=("the emotion prompt, for every voice of your own", "情感提示，自己的音色都需要"),
        files=emotional.FILES,
        weights=emotional.WEIGHTS,
        setting="clap_path",
        sha256={"pytorch_model.bin": "1ed5d0215d887551ddd0a49ce7311b21429ebdf1e6a129d4e68f743357225253"},
    ),
    Item(
        name="roberta",
        repo=bert.REPOSITORIES[ROBERTA],
        folder=f"bert/{ROBERTA}",
        size=1_300_000_000,
        use=("features of the text, for the releases 1.0 to 2.3", "文字的特征，1.0 到 2.3 版的音色"),
        files=bert.FILES,
        weights=bert.WEIGHTS,
        setting="bert_1024_path",
        sha256={"pytorch_model.bin": "4ac62d49144d770c5ca9a5d1d3039c4995665a080febe63198189857c6bd11cd"},
    ),
    Item(
        name="g2pw",
        repo="ADT109119/G2PWModel-v2-onnx",
        folder="text/G2PWModel",
        size=600_000_000,
        use=("readings of polyphones, instead of g2pM", "多音字读音，代替 g2pM"),
        files=tuple(name for name in g2pw.FILES if name != g2pw.NETWORK),
        weights=(g2pw.NETWORK,),
        setting="g2pw_path",
        elsewhere={g2pw.VOCABULARY: "google-bert/bert-base-chinese"},
        lenient=True,
    ),
)


# --- what is here ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Status:
    """What a model's folder holds. here: bytes of each file. missing: names. part: bytes of interrupted downloads."""

    item: Item
    folder: Path
    here: Mapping[str, int]
    missing: tuple[str, ...]
    part: int

    @property
    def ready(self) -> bool:
        return not self.missing


def status(settings: Settings, items: Sequence[Item] = ITEMS) -> list[Status]:
    """What is here and what is missing; looks at names and sizes only, and asks no hub."""
    result = []
    for item in items:
        folder = place(item, settings)
        names = (*item.files, *item.weights)
        here = {name: (folder / name).stat().st_size for name in names if (folder / name).is_file()}
        missing = [name for name in item.files if name not in here]
        if not any(name in here for name in item.weights):
            missing.append(" or ".join(item.weights))
        part = sum(file.stat().st_size for file in folder.glob("*.part"))
        result.append(Status(item, folder, here, tuple(missing), part))
    return result


def place(item: Item, settings: Settings) -> Path:
    """A model's folder."""
    return settings.path(getattr(settings, item.setting, item.folder))


def command(folder: Path) -> str:
    """What brings the model that belongs into this folder; under a name of the user's own, the list to choose from."""
    names = {Path(item.folder).name: item.name for item in ITEMS}
    return f"python -m infer.models {names.get(folder.name, '')}".strip()


# --- what the hub has --------------------------------------------------------------------------------------------


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
    """What fetching a model would do. lacking: files of a lenient model that no repository has."""

    item: Item
    folder: Path
    endpoint: str | None
    files: tuple[Remote, ...]
    lacking: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes still to come; less than the files hold where a download was interrupted."""
        return sum(max(file.size - _size(file.part(self.folder)), 0) for file in self.files)

    @property
    def converted(self) -> int:
        """Bytes of the weights that will be written anew as safetensors."""
        return sum(file.size for file in self.files if file.name.endswith(".bin"))


def look_up(item: Item, settings: Settings, endpoint: str | None = None) -> Plan:
    """Ask the hub for names, sizes and hashes of what is missing. endpoint: a mirror, else HF_ENDPOINT, else the hub.

    Raises FetchError.
    """
    endpoint = endpoint or os.environ.get("HF_ENDPOINT") or None
    [now] = status(settings, [item])
    if now.ready:
        return Plan(item, now.folder, endpoint, (), ())
    with _in_words(item, endpoint):
        from huggingface_hub.errors import HfHubHTTPError

        offered = _offered(item, item.repo, item.revision, endpoint)
        wanted = [name for name in item.files if name not in now.here]
        for name in wanted:
            if name not in offered and name in item.elsewhere:
                with suppress(HfHubHTTPError):  # then it counts as lacking
                    offered |= _offered(item, item.elsewhere[name], "main", endpoint, [name])
        if not any(name in now.here for name in item.weights):  # last: with its weights a model is complete
            wanted.append(next((name for name in item.weights if name in offered), " or ".join(item.weights)))
        lacking = [name for name in wanted if name not in offered]
        if [name for name in lacking if name not in item.files or not item.lenient]:
            names = ", ".join(lacking)
            raise FetchError(
                f"The model repository {item.repo} does not have {names}: name another one with "
                f"--repo {item.name}=OWNER/NAME.",
                f"模型仓库 {item.repo} 里没有 {names.replace(' or ', ' 或 ')}：请用 --repo {item.name}=OWNER/NAME "
                "另指定一个。",
            )
        files = tuple(_remote(item, *offered[name], endpoint) for name in wanted if name in offered)
    return Plan(item, now.folder, endpoint, files, tuple(lacking))


def _offered(item: Item, repo: str, revision: str, endpoint: str | None, names: Sequence[str] = ()) -> dict[str, tuple]:
    """Name -> (repository, commit, the hub's entry) of the files of ours that a repository has.

    Names from outside are only compared with ours: none of them ever becomes a path.
    """
    from huggingface_hub import HfApi

    info = HfApi(endpoint=endpoint).model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
    names = names or (*item.files, *item.weights)
    return {s.rfilename: (repo, info.sha or revision, s) for s in info.siblings or () if s.rfilename in names}


def _remote(item: Item, repo: str, commit: str, sibling, endpoint: str | None) -> Remote:
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
        raise FetchError(
            f"{_host(endpoint)} gives no size and hash for {name} of {repo}, so it could not be verified: "
            "use another HF_ENDPOINT.",
            f"{_host(endpoint)} 没有给出 {repo} 的 {name} 的大小与校验值，无法验证：请换一个 HF_ENDPOINT。",
        )
    known = item.sha256.get(name, digest)
    if len(digest) == len(known) and digest != known:  # no need to fetch gigabytes to know it
        raise _mismatch(item, repo, name, known, digest)
    return Remote(repo, commit, name, size, known)


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
            names = ", ".join(plan.item.name for _, plan in entries if plan.files)
            raise FetchError(
                f"{names} needs {_bytes(needed + SPARE)} of disk space and {_bytes(free)} is free: "
                "make room, or set a folder on another disk (bert_path, clap_path, g2pw_path).",
                f"{names} 需要 {_bytes(needed + SPARE)} 磁盘空间，而只剩 {_bytes(free)}：请腾出空间，"
                "或把 bert_path、clap_path、g2pw_path 设到别的磁盘。",
            )


# --- bringing it -------------------------------------------------------------------------------------------------


def fetch(
    item: Item,
    settings: Settings,
    progress: Progress = lambda *_: None,
    keep_bin: bool = False,
    endpoint: str | None = None,
) -> list[str]:
    """Bring what is missing of a model. Returns a line for each file: what it was verified by. Raises FetchError."""
    return bring(look_up(item, settings, endpoint), progress, keep_bin)


def bring(plan: Plan, progress: Progress = lambda *_: None, keep_bin: bool = False) -> list[str]:
    """Download, verify, convert and put in place, file by file. Interrupted, it goes on the next time."""
    check_space([plan], keep_bin)
    report = []
    if not plan.files:
        return report
    with _in_words(plan.item, plan.endpoint), _alone(plan):
        for file in plan.files:
            label, part = f"{plan.item.name}: {file.name}", file.part(plan.folder)
            for stale in set(plan.folder.glob(f"{file.name}.*.part")) - {part}:
                stale.unlink()
            _download(plan, file, part, partial(progress, label))
            _verify(plan.item, file, part, partial(progress, f"{label} (checking)"))
            report.append(f"{file.name}: {_proof(file)}")
            if not file.name.endswith(".bin"):
                _settle(part, plan.folder / file.name)
                continue
            source = f"{file.repo}@{file.commit}/{file.name}"
            try:
                convert(part, plan.folder / SAFETENSORS, {"source": source, "sha256": file.digest}, progress)
            except FetchError:
                part.unlink()  # it will not get better
                raise
            report.append(f"{SAFETENSORS}: made from {file.name}")
            if keep_bin:
                _settle(part, plan.folder / file.name)
            else:
                part.unlink()
    return report


@contextmanager
def _alone(plan: Plan) -> Iterator[None]:
    """Two processes that append to one file would spoil it."""
    from huggingface_hub.utils import WeakFileLock

    plan.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(WeakFileLock(plan.folder / ".fetch.lock", timeout=1))
        except TimeoutError as error:
            raise FetchError(
                f"Another process is fetching {plan.item.name} into {_shown(plan.folder)} already: wait for it.",
                f"另一个进程正在把 {plan.item.name} 下载到 {_shown(plan.folder)}：请等它完成。",
            ) from error
        yield


def _download(plan: Plan, file: Remote, part: Path, tick: Callable[[int, int], None]) -> None:
    """Let the part grow to the file's size; a broken connection is taken up again."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    part.touch()
    failures = 0
    while (have := _size(part)) != file.size:
        tick(have, file.size)
        error = None
        try:
            _receive(plan, file, part, have, tick)
        except HTTPError as problem:
            if isinstance(problem, HfHubHTTPError) and problem.response.status_code not in (408, 429, *range(500, 600)):
                raise
            error = problem  # it may pass
        failures = 0 if have < _size(part) <= file.size else failures + 1
        if failures > RETRIES:
            raise error or FetchError(
                f"{_host(plan.endpoint)} does not send the whole of {file.name}: run the command again, or set "
                "HF_ENDPOINT to another mirror.",
                f"{_host(plan.endpoint)} 没有发完 {file.name}：请再运行一次，或用 HF_ENDPOINT 换一个镜像。",
            )
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


def _verify(item: Item, file: Remote, path: Path, tick: Callable[[int, int], None]) -> None:
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
        raise _mismatch(item, file.repo, file.name, file.digest, hasher.hexdigest())


def _proof(file: Remote) -> str:
    """By what a verified file was verified."""
    if len(file.digest) == 40:
        return f"git blob {file.digest[:12]}, as the hub says"
    known = any(file.digest in item.sha256.values() for item in ITEMS)
    return f"SHA-256 {file.digest[:12]}…, {'the known file' if known else 'as the hub says'}"


def _settle(part: Path, target: Path) -> None:
    """Give a complete file its name, its bytes on the disk first: a name never stands for half a file."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(target)


def convert(source: Path, target: Path, notes: Mapping[str, str], progress: Progress = lambda *_: None) -> None:
    """Write the tensors of a pytorch_model.bin as safetensors, bit for bit; nothing in the file is run.

    Tensors are read and written through memory maps, so the memory it takes does not grow with the file (files of
    before torch 1.6 cannot be mapped and are read whole). Tensors that share memory become independent.
    Raises FetchError for a file that is anything but a table of tensors.
    """
    part, label = target.with_name(f"{target.name}.part"), f"{target.name} (converting)"
    try:
        import torch
        from safetensors.torch import save_file

        try:
            table = torch.load(source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source))
            tensors = {name: tensor.detach() for name, tensor in table.items()}
            total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
            if not tensors or total > 2 * source.stat().st_size:  # strides of 0 make a terabyte of one number
                raise ValueError(f"{len(tensors)} tensors of {total} bytes in {source.stat().st_size}")
            storages = set()
            for name, tensor in tensors.items():
                storage = tensor.untyped_storage().data_ptr()
                if storage in storages or not tensor.is_contiguous():
                    tensors[name] = tensor.clone(memory_format=torch.contiguous_format)
                storages.add(storage)
            progress(label, 0, total)
            save_file(tensors, part, metadata={"format": "pt", **notes})
            shutil.copymode(source, part)  # safetensors makes files that only their owner can read
        except (OSError, MemoryError):
            raise
        except Exception as error:  # the unpickler, the zip reader and safetensors each have errors of their own
            raise FetchError(
                f"{source.name} is not a plain table of tensors ({' '.join(str(error).split())[:120]}): it is refused, "
                "and nothing in it was run; name another repository with --repo.",
                f"{source.name} 不是单纯的张量表，已拒绝，其中的代码没有执行；请用 --repo 另指定仓库。",
            ) from error
        _settle(part, target)
        progress(label, total, total)
    finally:
        part.unlink(missing_ok=True)


# --- what can go wrong, in words ---------------------------------------------------------------------------------


@contextmanager
def _in_words(item: Item, endpoint: str | None) -> Iterator[None]:
    """Errors of the hub, the network and the disk as FetchError: one sentence with the remedy."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HTTPError,
        OfflineModeIsEnabled,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    host, again = _host(endpoint), ("what is here already stays, so run it again", "已下载的部分会保留，请再运行一次")
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise FetchError(
            f"HF_HUB_OFFLINE is set, so {item.name} is not fetched: unset it (and TRANSFORMERS_OFFLINE), or put the "
            f"files into {item.folder} yourself.",
            f"已设置 HF_HUB_OFFLINE，所以没有下载 {item.name}：请取消它（及 TRANSFORMERS_OFFLINE），"
            f"或自己把文件放进 {item.folder}。",
        ) from error
    except RevisionNotFoundError as error:
        raise FetchError(
            f"The model repository {item.repo} has no revision {item.revision!r}: correct --revision {item.name}=….",
            f"模型仓库 {item.repo} 没有版本 {item.revision!r}：请改正 --revision {item.name}=…。",
        ) from error
    except RemoteEntryNotFoundError as error:
        raise FetchError(
            f"A file of {item.repo} is no longer on {host}: run the command again, or name another repository with "
            f"--repo {item.name}=OWNER/NAME.",
            f"{host} 上 {item.repo} 的一个文件已不存在：请再运行一次，或用 --repo {item.name}=OWNER/NAME 另指定仓库。",
        ) from error
    except HfHubHTTPError as error:
        code = error.response.status_code
        gated = isinstance(error, GatedRepoError)
        if code == 404 or (isinstance(error, RepositoryNotFoundError) and not gated):
            raise FetchError(
                f"{host} knows no public model repository {item.repo}: name another one with --repo "
                f"{item.name}=OWNER/NAME, or set HF_TOKEN if it is private.",
                f"{host} 上没有公开的模型仓库 {item.repo}：请用 --repo {item.name}=OWNER/NAME 另指定一个；"
                "若是私有仓库，请设置 HF_TOKEN。",
            ) from error
        if gated or code in (401, 403):
            raise FetchError(
                f"{host} refuses access to {item.repo} ({code}): accept its terms there and set HF_TOKEN to a token "
                f"of yours, or name another repository with --repo {item.name}=OWNER/NAME.",
                f"{host} 拒绝访问 {item.repo}（{code}）：请先在网站上同意其条款并设置 HF_TOKEN，"
                f"或用 --repo {item.name}=OWNER/NAME 另指定仓库。",
            ) from error
        raise FetchError(
            f"{host} answers {code} for {item.repo}: try later, or set HF_ENDPOINT to a mirror; {again[0]}.",
            f"{host} 对 {item.repo} 返回 {code}：请稍后再试，或用 HF_ENDPOINT 指定镜像；{again[1]}。",
        ) from error
    except HTTPError as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FetchError(
            f"{host} cannot be reached ({reason}): check the connection, or set HF_ENDPOINT to a mirror; {again[0]}.",
            f"连不上 {host}（{reason}）：请检查网络，或用 HF_ENDPOINT 指定镜像；{again[1]}。",
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FetchError(
                f"The disk is full: make room for {item.name} ({_bytes(item.size)}); {again[0]}.",
                f"磁盘已满：请为 {item.name}（{_bytes(item.size)}）腾出空间；{again[1]}。",
            ) from error
        raise FetchError(
            f"{item.name} cannot be written ({error.strerror or error}): check the folder {item.folder}; {again[0]}.",
            f"{item.name} 无法写入（{error.strerror or error}）：请检查文件夹 {item.folder}；{again[1]}。",
        ) from error


def _mismatch(item: Item, repo: str, name: str, expected: str, found: str) -> FetchError:
    return FetchError(
        f"{name} of {repo} is refused: its hash is {found[:12]}… and {expected[:12]}… was expected; fetch it "
        f"again, or name another source with --repo, --revision {item.name}=… or HF_ENDPOINT.",
        f"已拒绝 {repo} 的 {name}：校验值是 {found[:12]}…，应为 {expected[:12]}…；请重新下载，"
        f"或用 --repo、--revision {item.name}=… 或 HF_ENDPOINT 换一个来源。",
    )


def _host(endpoint: str | None) -> str:
    return endpoint or "The hub"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _shown(folder: Path) -> str:
    return str(folder.relative_to(ROOT)) if folder.is_relative_to(ROOT) else str(folder)


# --- the command line --------------------------------------------------------------------------------------------
