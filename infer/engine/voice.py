"""Voices in memory (Voice): one checkpoint with what belongs to it. Those on disk: infer/engine/catalogue.py."""

import re
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from emotional.table import emotion_weights, in_words, keywords
from infer.engine.backends import Backend
from infer.engine.catalogue import VoiceFiles, check_language
from infer.engine.features import NEUTRAL, Features
from infer.engine.waiting import Cancelled, never
from infer.engine.warmth import Warmth, calls
from infer.request import BadRequest, SpeechError, SpeechRequest, shown
from models import CheckpointError, Synthesizer, SynthesizerConfig, halos, load_checkpoint
from models.checkpoint import read_config
from models.config import CLAP_WIDTH, speakers
from words import Message, message


class Voice:
    """One loaded checkpoint on its device."""

    def __init__(
        self,
        files: VoiceFiles,
        network: Synthesizer,
        speakers: Mapping[str, int],
        make: Callable[[Synthesizer], Backend],
    ) -> None:
        self.id = files.id
        self.config: SynthesizerConfig = network.config
        self.speakers = dict(speakers)
        self.halos = halos(self.config)  # frames on each side that a window of the decoder's two parts needs
        self._speaker_table = network.emb_g.weight.detach().clone()
        self.backend = make(network)
        self.warmth = Warmth()

    @classmethod
    def load(cls, files: VoiceFiles, make: Callable[[Synthesizer], Backend]) -> "Voice":
        """make: puts the network on its backend. Raises BrokenVoice with the cause."""
        try:
            config = read_config(files.config)
            network, _ = load_checkpoint(files.weights, config)
            names = speakers(config, network.config.n_speakers)
            check_language(network.config.variant)
        except (CheckpointError, SpeechError) as error:
            raise files.broken(error) from error
        return cls(files, network, names, make)

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
                raise BadRequest("engine.no_speaker", voice=self.id, name=shown(name), speakers=known[:8], more=more)
            weights[self.speakers[name]] += weight
        return (weights / weights.sum() @ self._speaker_table).reshape(1, -1, 1)

    def emotion(
        self, request: SpeechRequest, features: Features, cancelled: Cancelled = never
    ) -> tuple[Tensor, list[Message]]:
        """Emotion input, [1, 512] or [1, emotions], and what the user should know about it. Raises SpeechError."""
        needs_clap, notices = self.config.variant.needs_clap, list[Message]()

        def value_of(prompt: str | bytes) -> Tensor:
            if needs_clap or isinstance(prompt, bytes):
                return features.clap(prompt, cancelled)[None]
            value, told = self._in_words(prompt)
            notices.extend(told)
            return value

        if request.emotion_audio and not needs_clap:
            notices.append(message("engine.no_emotion_of_sound"))
        value = value_of(request.emotion_audio if request.emotion_audio and needs_clap else request.emotion)
        if request.emotion_b and request.emotion_mix:
            value = torch.lerp(value, value_of(request.emotion_b), request.emotion_mix)
        if request.emotion_strength != 1:
            calm = features.clap(NEUTRAL, cancelled)[None] if needs_clap else self._in_words(NEUTRAL)[0]
            value = torch.lerp(calm, value, request.emotion_strength)
        if needs_clap and value.any():
            value = F.normalize(value, dim=-1)  # prompts have length 1, and so has what lies between them
        return value, [notice for i, notice in enumerate(notices) if notice not in notices[:i]]

    def _in_words(self, prompt: str) -> tuple[Tensor, list[Message]]:
        """The emotion input of a prompt for a voice with emotions of its own, and how it was understood."""
        known = self.config.emotions
        if not known:
            return torch.zeros(1, 0), [] if prompt in ("", NEUTRAL) else [message("engine.no_emotions")]
        weights, understood = emotion_weights(prompt, _emotion_words(self.config))
        value, notices = torch.tensor([weights], dtype=torch.float32), list[Message]()
        if not understood:
            notices.append(message("engine.unknown_emotion", emotion=shown(prompt), neutral=known[0], emotions=known))
        elif prompt and prompt not in known and not all(name.isdigit() for name in known):
            notices.append(message("engine.emotion", emotion=shown(prompt), shares=in_words(weights, known)))
        return value, notices


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
            raise BadRequest("engine.no_mix", mix=shown(wanted))
        mix[name] = mix.get(name, 0.0) + float(weight)
    if not 0 < sum(mix.values()) < 1e9:
        raise BadRequest("engine.no_weight", mix=shown(wanted))
    return mix


def _emotion_words(config: SynthesizerConfig) -> Sequence[str] | Mapping[str, Sequence[str]]:
    """For emotion_weights. Nobody knows what the ten of v2.1 are, so words for calm mean the first."""
    if config.variant.emotion != "codes" or "neutral" in config.emotions:
        return config.emotions
    return {name: ("neutral", *keywords()["neutral"]) if i == 0 else () for i, name in enumerate(config.emotions)}
