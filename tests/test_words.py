"""Where words begin and where in the sentence it is: what a text encoder of our own may be told."""

import pytest
import torch

from infer.engine.pipeline import Engine, SpeechRequest
from infer.settings import load_settings
from models import load_checkpoint
from models.config import SMALL, SynthesizerConfig
from models.encoder import REACHES, places
from models.synthesizer import Synthesizer
from tests.voices import CONFIG, loaded, make_tiny_voice, speak
from text.words import begins


def test_a_mark_is_a_word_and_words_are_the_segmenters():
    text = "今天很好,我们走吧!'"
    spoken = [char not in ",!'" for char in text]
    starts = [i for i, start in enumerate(begins(text, spoken)) if start]
    assert [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)] == [
        *("今天", "很", "好", ",", "我们", "走", "吧", "!", "'")
    ]
    assert begins("", []) == []


def test_places_are_one_at_the_ends_and_know_no_padding():
    mask = torch.zeros(1, 1, 12)
    mask[..., :9] = 1
    padded, plain = places(mask)[:, :9], places(torch.ones(1, 1, 9))
    assert torch.equal(padded, plain) and plain.shape == (1, 9, 2 * len(REACHES))
    assert (plain[0, 0, 0::2] == 1).all() and (plain[0, -1, 1::2] == 1).all()
    assert torch.equal(plain[0, :, 0::2], plain[0, :, 1::2].flip(0)) and (plain[0, 1:, 0] < plain[0, :-1, 0]).all()
    assert places(torch.ones(1, 1, 900)).isfinite().all()


def network(**model: object) -> Synthesizer:
    torch.manual_seed(0)
    config = {**CONFIG, "model": {**CONFIG["model"], **model}}
    return Synthesizer(SynthesizerConfig.from_json(config, SMALL)).eval().requires_grad_(False)


def encode(net: Synthesizer, words: torch.Tensor, size: int) -> torch.Tensor:
    length = words.shape[1]
    phones = torch.arange(length)[None] % 40
    ids = [torch.nn.functional.pad(row, (0, size - length)) for row in (phones, phones % 5, words)]
    mask = (torch.arange(size) < length).float()[None, None]
    emotion, speaker = torch.eye(1, 4), torch.ones(1, net.config.gin_channels, 1)
    prior = net.encode(*ids, mask, (), emotion, speaker, torch.zeros(1, 2, size), 0.0)
    return torch.cat((prior.mean, prior.log_durations), dim=1)[..., :length]


def test_words_and_the_sentences_length_change_how_it_is_said():
    net, words = network(words=True), torch.zeros(1, 13, dtype=torch.long)
    words[0, [1, 5]] = 1
    plain = encode(net, words, 13)
    assert torch.allclose(encode(net, words, 20), plain, atol=1e-5)  # padding does not
    assert not torch.allclose(encode(net, torch.zeros_like(words), 13), plain, atol=1e-3)
    far = torch.cat((words, torch.zeros(1, 200, dtype=torch.long)), dim=1)
    assert not torch.allclose(encode(net, far, 213)[..., :1], plain[..., :1], atol=1e-3)


def test_voices_without_it_are_as_before():
    assert not any("place" in name for name in network().state_dict())
    with pytest.raises(ValueError, match="words"):
        network(words="yes")


@pytest.mark.parametrize("words", [True, False])
def test_the_pipeline_tells_such_a_voice_where_words_begin(tmp_path, words):
    make_tiny_voice(tmp_path / "tiny", words=words)
    net, _ = load_checkpoint(tmp_path / "tiny" / "G.safetensors")
    assert net.config.words == words
    engine = Engine(load_settings(overrides=[f"voices=[{tmp_path}]", "webui.device=cpu"], environment={}))
    voice, seen = loaded(engine), []
    encode = voice.backend.encode
    voice.backend.encode = lambda ids, *rest, **options: seen.append(ids) or encode(ids, *rest, **options)
    speak(engine, SpeechRequest("今天，我们走。", seed=1))
    (_, _, told, mask) = seen[0]
    starts = [0] * 29
    for token in (3, 11, 13, 21, 25) if words else ():  # 今天 , 我们 走 . : a syllable has four tokens, a mark two
        starts[token] = 1
    assert told[0, : int(mask.sum())].tolist() == starts and not told[0, 29:].any()
