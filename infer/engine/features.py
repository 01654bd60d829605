"""BERT and CLAP for all voices: loaded when first needed, cached by sentence and by prompt."""

import threading
import time

import torch
from torch import Tensor

import bert
import emotional
from infer.documents import clips
from infer.engine.catalogue import folder_name
from infer.engine.devices import Device
from infer.engine.waiting import Cancelled, Loads, never
from infer.hub.listing import command
from infer.request import MissingFiles
from infer.settings import Settings
from models import Variant
from models.config import CLAP_WIDTH
from words import Message, message

NEUTRAL = "neutral"  # what a CLAP voice is told when the user says nothing


class Features:
    """The models of one device. Who waits for one of them to be loaded waits for no other."""

    def __init__(self, settings: Settings, device: Device) -> None:
        self.bert_paths = {  # by width: the Chinese special voices are the ones with 2048
            2048: settings.path(settings.bert_path),
            1024: settings.path(settings.bert_1024_path),
        }
        self.half, self.eight_bit = settings.webui.fp16_run, settings.webui.int8_run
        self.clap_path = settings.path(settings.clap_path)
        self.zeros = settings.missing_features == "zeros"
        self.device = device
        self._loads = Loads()
        self._bert: dict[int, bert.BertFeatures] = {}
        self._clap: emotional.ClapEmotion | None = None
        self._lock = threading.Lock()  # of the times below
        self._idle_s = settings.bert_idle_minutes * 60
        self._used = 0.0  # when BERT was last needed
        self._timer: threading.Timer | None = None

    @property
    def loaded(self) -> tuple[str, ...]:
        """Which of the models are in memory: BERT 2048, BERT 1024, CLAP."""
        return *(f"BERT {width}" for width in tuple(self._bert)), *(("CLAP",) if self._clap else ())

    def missing(self, variant: Variant) -> list[Message]:
        """What this voice needs and is not here; nothing where zeros stand in."""
        needs = []
        if variant.needs_bert:
            folder = self.bert_paths[variant.bert_width]
            source = bert.REPOSITORIES.get(folder.name, "")
            needs.append(("BERT", folder, bert.missing_files(folder, self.eight_bit), source))
        if variant.needs_clap:
            needs.append(("CLAP", self.clap_path, emotional.missing_files(self.clap_path), emotional.REPOSITORY))
        return [
            message(
                "engine.needs",
                model=name,
                command=command(folder),
                files=files,
                source=source,
                folder=folder_name(folder),
            )
            for name, folder, files, source in needs
            if files and not self.zeros
        ]

    def bert(
        self,
        text: str,
        word2ph: list[int],
        width: int,
        style_text: str,
        style_weight: float,
        cancelled: Cancelled = never,
    ) -> Tensor:
        """Feature of a sentence [width, tokens]; zeros where that was asked for. Raises MissingFiles, NotWanted."""
        folder = self.bert_paths[width]
        if self.zeros and bert.missing_files(folder, self.eight_bit):
            return torch.zeros(width, sum(word2ph))

        def load() -> bert.BertFeatures:
            if width not in self._bert:
                dtype, _ = bert.precision(self.device.torch.type, self.half, self.eight_bit)
                try:
                    self._bert[width] = bert.BertFeatures.load(
                        folder, self.device.torch, dtype, normalise=width == 2048
                    )
                except bert.MissingModel as error:
                    raise MissingFiles.of(error.message) from error
            return self._bert[width]

        self._used = time.monotonic()  # before it is looked for: it must not go now
        model = self._bert.get(width) or self._loads.get(width, load, cancelled)
        feature = model(text, word2ph, style_text or None, style_weight).float().cpu()
        self._rest()
        if feature.shape[0] != width:
            raise MissingFiles("engine.wrong_bert", folder=folder_name(folder), width=feature.shape[0], needed=width)
        return feature

    def _rest(self) -> None:
        """BERT was used: let it go when nobody needs it for bert_idle_minutes."""
        with self._lock:
            self._used = time.monotonic()
            if self._idle_s and self._timer is None:
                self._wait(self._idle_s)

    def _wait(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._free)
        self._timer.daemon = True
        self._timer.start()

    def _free(self) -> None:
        """Drop BERT if it was idle for so long, else look again when it could be. Who still computes keeps a hold."""
        with self._lock:
            self._timer = None
            left = self._used + self._idle_s - time.monotonic()
            if left > 0:
                self._wait(left)
            else:
                self._bert.clear()

    def clap(self, prompt: str | bytes, cancelled: Cancelled = never) -> Tensor:
        """Emotion vector [512] of a prompt in words, or of a sound file. Raises SpeechError, NotWanted."""
        if self.zeros and emotional.missing_files(self.clap_path):
            return torch.zeros(CLAP_WIDTH)

        def load() -> emotional.ClapEmotion:
            if self._clap is None:
                try:
                    self._clap = emotional.ClapEmotion.load(self.clap_path, self.device.torch)
                except emotional.MissingModel as error:
                    raise MissingFiles.of(error.message) from error
            return self._clap

        model = self._clap or self._loads.get("clap", load, cancelled)
        if isinstance(prompt, bytes):
            vector = model.file(prompt, clips.read_clip).float().cpu()
        else:
            vector = model.text(prompt or NEUTRAL).float().cpu()
        if vector.shape != (CLAP_WIDTH,):
            raise MissingFiles(
                "engine.wrong_clap",
                folder=folder_name(self.clap_path),
                width=len(vector),
                needed=CLAP_WIDTH,
                source=emotional.REPOSITORY,
            )
        return vector
