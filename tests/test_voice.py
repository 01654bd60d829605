"""The embedded voice speaks: pace, level, pitch, tones, speakers and emotions, measured in the sound itself."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from infer.documents import audio
from infer.engine.pipeline import Engine
from infer.request import SpeechRequest
from infer.settings import load_settings
from train.features import pitch

VOICE = Path(__file__).resolve().parents[1] / "voices" / "xiaoyu"
SPEAKERS = {"小雨": 172, "石磊": 86, "晴晴": 232, "远山": 112}  # and about how high they speak, Hz
SENTENCE = "今天是2024年3月5日，银行行长说，天气很好！"


@pytest.fixture(scope="module")
def engine():
    return Engine(
        load_settings(overrides=["webui.device=cpu"], environment={}, config=VOICE.parents[1] / "default_config.yml")
    )


def say(engine, text=SENTENCE, **options):
    """Samples, rate, the time of each character with a reading."""
    pieces = list(engine.speak([SpeechRequest(text, **options)]))
    sounded = [c for p in pieces if p.last for c in p.characters if c.text not in "!?…,.'-"]
    return audio.joined(pieces), pieces[0].sampling_rate, sounded


def melody(samples):
    """F0 in Hz of each voiced frame, and the frames' indices."""
    f0, _ = pitch(samples[: len(samples) // 256 * 256].astype(np.float64), 55, 450)
    return f0


def semitones(a, b):
    return 12 * np.log2(a / b)


def test_it_is_small_whole_and_said_what_it_is():
    weights = VOICE / "G.safetensors"
    assert weights.stat().st_size <= 15e6
    with safe_open(weights, framework="np") as file:
        names = list(file.keys())
        assert {file.get_slice(name).get_dtype() for name in names} == {"F16"}
    assert "espeak-ng" in (VOICE / "README.md").read_text("utf-8")
    config = json.loads((VOICE / "config.json").read_text("utf-8"))
    assert list(config["data"]["spk2id"]) == list(SPEAKERS)


def test_it_needs_nothing_else_and_offers_speakers_and_emotions(engine):
    info = engine.voices()[engine.default_voice]
    assert info.id == "xiaoyu" and not info.missing
    assert list(info.speakers) == list(SPEAKERS) and set(info.emotions) >= {"neutral", "happy", "sad", "angry"}


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize("emotion", ["neutral", "happy", "sad", "angry"])
def test_it_speaks_at_the_pace_and_level_of_speech(engine, speaker, emotion):
    samples, rate, characters = say(engine, speaker=speaker, emotion=emotion)
    assert len(characters) == 21
    assert 2 < len(characters) / (len(samples) / rate) < 7
    assert 0.1 < np.abs(samples).max() <= 1
    assert np.mean(np.abs(samples) > 0.99) < 1e-3
    voiced = melody(samples) > 0
    assert 0.35 < voiced.mean() < 0.95
    # Vowels are strong and full of harmonics: most of what each character holds is voiced.
    heard = [voiced[round(c.start * rate / 256) : round(c.end * rate / 256)].mean() for c in characters]
    assert np.mean(np.array(heard) > 0.3) > 0.9


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_the_four_tones_move_as_they_should(engine, speaker):
    samples, rate, characters = say(engine, "妈。麻。马。骂。", speaker=speaker, noise=0.0)
    f0, contours = melody(samples), {}
    for tone, c in enumerate(characters, 1):
        voiced = f0[round(c.start * rate / 256) : round(c.end * rate / 256)]
        contours[tone] = 12 * np.log2(voiced[voiced > 0])
    change = {tone: np.median(v[-4:]) - np.median(v[2:6]) for tone, v in contours.items()}
    fall = np.median(contours[4][-3:]) - contours[4].max()  # from its peak: over the m the pitch still rises
    assert abs(change[1]) < 2.5  # high and level
    assert change[2] > 1.5  # rising
    assert fall < -2  # falling
    assert np.median(contours[3]) < np.median(contours[1]) - 2  # low


def test_speakers_and_emotions_differ_to_the_ear(engine):
    def figures(**options):
        samples, rate, _ = say(engine, **options)
        f0 = melody(samples)
        return np.median(f0[f0 > 0]), len(samples) / rate, np.sqrt(np.mean(samples**2))

    for speaker, usual in SPEAKERS.items():
        assert abs(semitones(figures(speaker=speaker)[0], usual)) < 2
    pitch_of, length, level = ({}, {}, {})
    for emotion in ("neutral", "happy", "sad", "angry"):
        pitch_of[emotion], length[emotion], level[emotion] = figures(emotion=emotion)
    assert length["sad"] > 1.1 * length["neutral"] > 1.1 * length["happy"]
    assert semitones(pitch_of["happy"], pitch_of["sad"]) > 2
    for a, b in itertools.combinations(length, 2):  # no two are the same but for chance
        assert (
            abs(semitones(pitch_of[a], pitch_of[b])) > 0.5
            or abs(np.log(length[a] / length[b])) > 0.05
            or abs(np.log(level[a] / level[b])) > 0.2
        ), (a, b)


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_a_statement_falls_at_its_end_and_a_question_rises(engine, speaker):
    """Of sentences whose syllables are all in the first tone, which is level."""
    moves = {}
    for mark in "。？":
        change = []
        for text in ("他今天中公开车", "妈妈吃西瓜", "三峰书新都机初"):
            samples, rate, characters = say(engine, text + mark, speaker=speaker, noise=0.0)
            f0 = melody(samples)
            first, last = (
                f0[round(c.start * rate / 256) : round(c.end * rate / 256)] for c in characters[:: len(characters) - 1]
            )
            change.append(semitones(np.median(last[last > 0]), np.median(first[first > 0])))
        moves[mark] = np.mean(change)
    assert moves["。"] < -0.5 and moves["？"] > 0.5, moves


def test_words_for_emotions_are_understood(engine):
    happy, _, _ = say(engine, emotion="happy")
    for words in ("开心", "非常高兴地"):
        assert np.array_equal(say(engine, emotion=words)[0], happy)
    assert not np.array_equal(say(engine, emotion="有点高兴")[0], happy)


@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_the_noise_slider_does_no_harm(engine, noise):
    (calm, *_), (other, *_) = say(engine), say(engine, noise=noise)
    a, b = (np.median(f0[f0 > 0]) for f0 in map(melody, (calm, other)))
    assert abs(semitones(a, b)) < 1
    assert 0.5 < np.sqrt(np.mean(other**2)) / np.sqrt(np.mean(calm**2)) < 2
