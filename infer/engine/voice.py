"""Voices in memory (Voice): one checkpoint with what belongs to it. Those on disk: infer/engine/catalogue.py."""

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import bert
import emotional
from emotional.table import WORDS, emotion_weights, in_words
from infer.documents import clips
from infer.engine.backends import Backend
from infer.engine.catalogue import VoiceFiles, check_language, folder_name
from infer.engine.devices import Device
from infer.engine.warmth import Warmth, calls
from infer.hub.listing import command
from infer.request import BadRequest, MissingFiles, SpeechError, SpeechRequest, shown
from infer.settings import Settings
from models import CheckpointError, Synthesizer, SynthesizerConfig, Variant, halos, load_checkpoint
from models.checkpoint import read_config
from models.config import CLAP_WIDTH, speakers

NEUTRAL = "neutral"  # what a CLAP voice is told when the user says nothing


class Features:
    """BERT and CLAP for all voices: loaded when first needed, cached by sentence and by prompt."""

    def __init__(self, settings: Settings, device: Device) -> None:
        self.bert_paths = {  # by width: the Chinese special voices are the ones with 2048
            2048: settings.path(settings.bert_path),
            1024: settings.path(settings.bert_1024_path),
        }
        self.half, self.eight_bit = settings.webui.fp16_run, settings.webui.int8_run
        self.clap_path = settings.path(settings.clap_path)
        self.zeros = settings.missing_features == "zeros"
        self.device = device
        self._lock = threading.Lock()  # two listeners must not load the same gigabytes twice
        self._bert: dict[int, bert.BertFeatures] = {}
        self._idle_s = settings.bert_idle_minutes * 60
        self._used = 0.0  # when BERT was last needed
        self._timer: threading.Timer | None = None
        self._clap: emotional.ClapEmotion | None = None

    @property
    def loaded(self) -> tuple[str, ...]:
        """Which of the models are in memory: BERT 2048, BERT 1024, CLAP."""
        return *(f"BERT {width}" for width in tuple(self._bert)), *(("CLAP",) if self._clap else ())

    def missing(self, variant: Variant) -> list[tuple[str, str]]:
        """What this voice needs and is not here, in sentences (English, Chinese); nothing where zeros stand in."""
        if self.zeros:
            return []
        needs = []
        if variant.needs_bert:
            folder = self.bert_paths[variant.bert_width]
            if files := bert.missing_files(folder, self.eight_bit):
                needs.append(("BERT", folder, files, bert.REPOSITORIES.get(folder.name, "")))
        if variant.needs_clap and (files := emotional.missing_files(self.clap_path)):
            needs.append(("CLAP", self.clap_path, files, emotional.REPOSITORY))
        return [
            (
                f"This voice needs {name}: run make models or {command(folder)}, or put {', '.join(files)} of the "
                f"model repository {source} into {folder_name(folder)}, or set missing_features: zeros to speak "
                "without.",
                f"这个音色需要 {name}：请运行 make models 或 {command(folder)} 下载，或把模型仓库 {source} 的 "
                f"{'、'.join(files).replace(' or ', ' 或 ')} 放进 {folder_name(folder)}；"
                "或设置 missing_features: zeros，不带它说话。",
            )
            for name, folder, files, source in needs
        ]

    def bert(self, text: str, word2ph: list[int], width: int, style_text: str, style_weight: float) -> Tensor:
        """Feature of a sentence [width, tokens]; zeros where that was asked for."""
        folder = self.bert_paths[width]
        if self.zeros and bert.missing_files(folder, self.eight_bit):
            return torch.zeros(width, sum(word2ph))
        with self._lock:
            if width not in self._bert:
                dtype, _ = bert.precision(self.device.torch.type, self.half, self.eight_bit)
                try:
                    self._bert[width] = bert.BertFeatures.load(
                        folder, self.device.torch, dtype, normalise=width == 2048
                    )
                except bert.MissingModel as error:
                    raise MissingFiles(*(_without_paths(words, folder) for words in (error, error.zh))) from error
            loaded, self._used = self._bert[width], time.monotonic()
        feature = loaded(text, word2ph, style_text or None, style_weight).float().cpu()
        self._rest()
        if feature.shape[0] != width:
            raise MissingFiles(
                f"The BERT in {folder_name(folder)} gives {feature.shape[0]} values a token and this voice takes "
                f"{width}; put the model that belongs to the voice there.",
                f"{folder_name(folder)} 里的 BERT 每字输出 {feature.shape[0]} 维，"
                f"而此音色需要 {width} 维；请换成配套的模型。",
            )
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

    def clap(self, prompt: str | bytes) -> Tensor:
        """Emotion vector [512] of a prompt in words, or of a sound file. Raises SpeechError."""
        if self.zeros and emotional.missing_files(self.clap_path):
            return torch.zeros(CLAP_WIDTH)
        with self._lock:
            if self._clap is None:
                try:
                    self._clap = emotional.ClapEmotion.load(self.clap_path, self.device.torch)
                except emotional.MissingModel as error:
                    raise MissingFiles(_without_paths(error, self.clap_path)) from error
        if isinstance(prompt, bytes):
            vector = self._clap.file(prompt, clips.read_clip).float().cpu()
        else:
            vector = self._clap.text(prompt or NEUTRAL).float().cpu()
        if vector.shape != (CLAP_WIDTH,):
            raise MissingFiles(
                f"The CLAP in {folder_name(self.clap_path)} gives {len(vector)} values and voices take {CLAP_WIDTH}; "
                f"put {emotional.REPOSITORY} there."
            )
        return vector


def _without_paths(error: Exception | str, folder: Path) -> str:
    return str(error).replace(str(folder), folder_name(folder))


class Voice:
    """One loaded checkpoint on its device."""

    def __init__(
        self,
        files: VoiceFiles,
        network: Synthesizer,
        speakers: Mapping[str, int],
        why: str,
        make: Callable[[Synthesizer], Backend],
    ) -> None:
        self.id = files.id
        self.config: SynthesizerConfig = network.config
        self.speakers = dict(speakers)
        self.halos = halos(self.config)  # frames on each side that a window of the decoder's two parts needs
        self.why = why
        self._speaker_table = network.emb_g.weight.detach().clone()
        self.backend = make(network)
        self.warmth = Warmth()

    @classmethod
    def load(cls, files: VoiceFiles, make: Callable[[Synthesizer], Backend]) -> "Voice":
        """make: puts the network on its backend. Raises BrokenVoice with the cause."""
        try:
            config = read_config(files.config)
            network, why = load_checkpoint(files.weights, config)
            names = speakers(config, network.config.n_speakers)
            check_language(network.config.variant)
        except (CheckpointError, SpeechError) as error:
            raise files.broken((str(error), getattr(error, "zh", str(error)))) from error
        return cls(files, network, names, why, make)

    @property
    def size(self) -> int:
        """Bytes of its weights, in the form that its backend keeps them."""
        return self.backend.size

    def warm_up(self, sizes: Sequence[int]) -> None:
        """Show the backend every shape there is, in the background; see infer.engine.warmth."""
        emotion = CLAP_WIDTH if self.config.variant.needs_clap else len(self.config.emotions)
        speaker = self._speaker_table[:1].reshape(1, -1, 1)
        self.warmth.start(calls(self.backend, self.config, self.halos, sizes, emotion, speaker))

    def complete(self, request: SpeechRequest) -> SpeechRequest:
        """The request with what went without saying: voice, speaker and emotion by name, so that recipes are equal."""
        emotion = request.emotion.strip() or (self.config.emotions or ("",))[0]
        return request.but(voice=self.id, speaker=request.speaker or next(iter(self.speakers)), emotion=emotion)

    def speaker(self, wanted: str) -> Tensor:
        """Speaker vector [1, G, 1] of a name, or of a mix (see parse_mix). Raises BadRequest naming the known ones."""
        mix = {wanted: 1.0} if wanted in self.speakers else parse_mix(wanted)
        weights = torch.zeros(len(self._speaker_table))
        for name, weight in mix.items():
            if name not in self.speakers:
                known = list(self.speakers)
                more = f" … ({len(known)})" if len(known) > 8 else ""
                raise BadRequest(
                    f"The voice {self.id!r} has no speaker {shown(name)}; it has {', '.join(known[:8])}{more}.",
                    f"音色 {self.id!r} 没有说话人 {shown(name)}；可选：{'、'.join(known[:8])}{more}。",
                )
            weights[self.speakers[name]] += weight
        return (weights / weights.sum() @ self._speaker_table).reshape(1, -1, 1)

    def emotion(self, request: SpeechRequest, features: Features) -> tuple[Tensor, list[tuple[str, str]]]:
        """Emotion input, [1, 512] or [1, emotions], and what the user should know about it (English, Chinese)."""
        notices: list[tuple[str, str]] = []
        first: str | bytes = request.emotion
        if request.emotion_audio:
            if self.config.variant.needs_clap:
                first = request.emotion_audio
            else:
                notices.append((
                    "This voice cannot take its emotion from a sample of sound; the words are used.",
                    "此音色不能从声音样本里取情感，已按文字描述。",
                ))  # fmt: skip
        value = self._emotion(first, features, notices)
        if request.emotion_b and request.emotion_mix:
            value = torch.lerp(value, self._emotion(request.emotion_b, features, notices), request.emotion_mix)
        if request.emotion_strength != 1:
            value = torch.lerp(self._emotion(NEUTRAL, features, []), value, request.emotion_strength)
        if self.config.variant.needs_clap and value.any():
            value = F.normalize(value, dim=-1)  # prompts have length 1, and so has what lies between them
        return value, list(dict.fromkeys(notices))

    def _emotion(self, prompt: str | bytes, features: Features, notices: list[tuple[str, str]]) -> Tensor:
        """The emotion input of one prompt; says in `notices` if the voice does not know it."""
        if self.config.variant.needs_clap:
            return features.clap(prompt)[None]
        known = self.config.emotions
        if not known:
            if prompt and prompt != NEUTRAL:
                notices.append(("This voice has no emotions; it speaks as always.", "此音色没有情感，按平常语气说。"))
            return torch.zeros(1, 0)
        weights, understood = emotion_weights(prompt, _emotion_words(self.config))
        if not understood:
            notices.append((
                f"This voice does not know the emotion {shown(prompt)} and speaks as {known[0]}; "
                f"it knows {', '.join(known)}.",
                f"此音色不懂情感 {shown(prompt)}，按 {known[0]} 说；它懂：{'、'.join(known)}。",
            ))  # fmt: skip
        elif prompt and prompt not in known and not all(name.isdigit() for name in known):
            english, chinese = in_words(weights, known)
            notices.append(
                (
                    f"The emotion {shown(prompt)} is understood as {english}.",
                    f"情感 {shown(prompt)} 理解为：{chinese}。",
                )
            )
        return torch.tensor([weights], dtype=torch.float32)


_WEIGHT = re.compile(r"\d{1,40}(?:\.\d{1,40})?|\.\d{1,40}")


def parse_mix(wanted: str) -> dict[str, float]:
    """Speakers and their weights: "a(2)+b(1)", "a+b"; a name alone has weight 1. Raises BadRequest."""
    mix: dict[str, float] = {}
    for part in wanted.replace("＋", "+").split("+"):
        name, weight = part.strip(), "1"
        begin = max(name.rfind("("), name.rfind("（"))
        if begin > 0 and name[-1] in ")）" and _WEIGHT.fullmatch(inside := name[begin + 1 : -1].strip()):
            name, weight = name[:begin].rstrip(), inside
        if not name:
            raise BadRequest(
                f"The mix of speakers {shown(wanted)} cannot be read; write it as a(2)+b(1).",
                f"看不懂说话人的混合 {shown(wanted)}；请写成 甲(2)+乙(1)。",
            )
        mix[name] = mix.get(name, 0.0) + float(weight)
    if not 0 < sum(mix.values()) < 1e9:
        raise BadRequest(
            f"The weights of {shown(wanted)} add up to nothing; give at least one speaker a weight above 0.",
            f"{shown(wanted)} 的权重之和为零；请至少给一位说话人大于 0 的权重。",
        )
    return mix


def _emotion_words(config: SynthesizerConfig) -> Sequence[str] | Mapping[str, Sequence[str]]:
    """For emotion_weights. Nobody knows what the ten of v2.1 are, so words for calm mean the first."""
    if config.variant.emotion != "codes" or "neutral" in config.emotions:
        return config.emotions
    return {name: ("neutral", *WORDS["neutral"]) if i == 0 else () for i, name in enumerate(config.emotions)}
