"""Model files fetched while the page goes on: one thread for each model, followed by every listener's page."""

import threading
import time
from collections import deque
from dataclasses import dataclass, field

from infer import log
from infer.ending import ending
from infer.hub import FetchError
from infer.hub.download import bring
from infer.hub.listing import Model, place
from infer.hub.repository import Plan, look_up
from infer.request import SpeechError
from infer.settings import Settings
from page import place_name
from words import Message, message

APART, KEPT = 0.25, 40  # seconds between the moments that the rate is taken from, and how many of them


class Stopped(KeyboardInterrupt):
    """Asked to stop. Every step of a download is written for Ctrl+C: what came stays, and it goes on from there."""


@dataclass
class Download:
    """One model on its way. step: ask, fetch, check or convert; done of total: bytes of that step.

    error: why it ended early. lacking: files that no repository has.
    """

    item: Model
    step: str = "ask"
    done: int = 0
    total: int = 0
    running: bool = True
    error: Message | None = None
    lacking: tuple[str, ...] = ()
    stopped: threading.Event = field(default_factory=threading.Event)
    moments: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=KEPT))
    _whole: int = 0
    _label: str = ""
    _before: dict[str, int] = field(default_factory=dict)  # by label of a file: bytes of those that come before it

    def expect(self, plan: Plan) -> None:
        """What a plan will bring, in the labels that `progress` is going to hear."""
        self.lacking = plan.lacking
        for file in plan.files:
            self._before[f"{self.item.name}: {file.name}"] = self._whole
            self._whole += file.size

    def progress(self, label: str, done: int, total: int) -> None:
        """A Progress of infer.hub.convert. What is fetched counts over all files, the rest for one file."""
        if self.stopped.is_set() or ending():
            raise Stopped
        if label in self._before:
            self.step, self.done, self.total = "fetch", self._before[label] + done, self._whole
            if label != self._label:  # what an earlier try has brought must not count as speed
                self.moments.clear()
            now = time.monotonic()
            if not self.moments or now - self.moments[-1][0] >= APART:
                self.moments.append((now, self.done))
        else:
            self.step, self.done, self.total = ("convert" if "convert" in label else "check"), done, total
        self._label = label

    def rate(self) -> float:
        """Bytes a second over the last moments; it falls while nothing comes, and is 0 before it can be told."""
        if not self.moments:
            return 0.0
        began, had = self.moments[0]
        seconds = time.monotonic() - began
        return max(self.done - had, 0) / seconds if seconds > APART else 0.0


class Downloads:
    """The downloads of this process, the latest of each model by name."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.latest: dict[str, Download] = {}
        self.arrived = 0  # models that came: a page that has seen fewer looks at the voices again
        self._lock = threading.Lock()

    def start(self, item: Model) -> Download:
        """Begins a download, or goes on with an earlier one; one that is running stays alone."""
        with self._lock:
            latest = self.latest.get(item.name)
            if latest is None or not latest.running:
                latest = self.latest[item.name] = Download(item)
                threading.Thread(target=self._run, args=(latest,), name=f"fetch {item.name}", daemon=True).start()
            return latest

    def stop(self, item: Model) -> None:
        if latest := self.latest.get(item.name):
            latest.stopped.set()

    @property
    def running(self) -> bool:
        return any(download.running for download in list(self.latest.values()))

    def _run(self, download: Download) -> None:
        from huggingface_hub import constants

        constants.HF_HUB_DISABLE_TELEMETRY = True  # Gradio has imported it long ago: too late for the variable
        try:
            plan = look_up(download.item, self.settings)
            download.expect(plan)
            bring(plan, download.progress)
            with self._lock:
                self.arrived += 1  # before `running` ends, after which a page asks no more
        except Stopped:
            pass
        except FetchError as error:
            download.error = self._without_paths(error, download.item)
        except Exception as error:  # whatever it was, the page must not wait for ever
            log.failure(f"fetching {download.item.name}", error)
            download.error = message("voices.went_wrong", model=download.item.name, kind=type(error).__name__)
        finally:
            download.running = False

    def _without_paths(self, error: SpeechError, item: Model) -> Message:
        """What the system says of a file names the whole path, which is nobody's business."""
        folder = place(item, self.settings)
        short = place_name(folder, self.settings)
        facts = error.message.facts.items()
        return Message(
            error.message.key, {k: v.replace(str(folder), short) if isinstance(v, str) else v for k, v in facts}
        )
