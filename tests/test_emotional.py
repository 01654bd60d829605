"""emotional/: CLAP equals the reference on a tiny model; words choose rows of an emotion table."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scipy.signal import resample_poly

from emotional import ClapEmotion, MissingModel, missing_files
from emotional.table import emotion_weights, in_words
from tests.conftest import golden, writable_copy

LIMIT = 1e-5
FOLDER = golden() / "clap-tiny"
GOLDEN = np.load(FOLDER / "golden.npz")
PROMPTS = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))["text"]
EMOTIONS = ["neutral", "happy", "sad", "angry"]


@pytest.fixture(scope="module")
def clap() -> ClapEmotion:
    return ClapEmotion.load(FOLDER)


def clip(index: int) -> np.ndarray:
    return (GOLDEN[f"a{index}_pcm16"] / 32768).astype(np.float32)


@pytest.mark.parametrize("index", range(len(PROMPTS)))
def test_text_parity(clap, index):
    vector = clap.text(PROMPTS[index])
    assert vector.dtype == torch.float32 and vector.shape == (64,)
    np.testing.assert_allclose(vector.numpy(), GOLDEN[f"t{index}_feature"][:, 0], rtol=0, atol=LIMIT)


@pytest.mark.parametrize("index", range(2))
def test_audio_parity(clap, index):
    vector = clap.audio(clip(index), 48000)
    assert vector.dtype == torch.float32 and vector.shape == (64,)
    np.testing.assert_allclose(vector.numpy(), GOLDEN[f"a{index}_feature"][:, 0], rtol=0, atol=LIMIT)
    np.testing.assert_array_equal(clap.audio(GOLDEN[f"a{index}_pcm16"], 48000).numpy(), vector.numpy())


def test_audio_tower_waits_for_the_first_clip():
    clap = ClapEmotion.load(FOLDER)
    clap.text("happy")
    assert clap._audio is None
    clap.audio(clip(0), 48000)
    assert clap._audio is not None


def test_a_file_is_read_once_while_its_vector_is_kept(clap):
    """Every sentence asks for the vector, and a decoder takes a third of a second."""
    asked = []

    def read(data: bytes) -> tuple[np.ndarray, int]:
        asked.append(data)
        return clip(0), 48000

    first, again = clap.file(b"a file", read), clap.file(b"a file", read)
    assert asked == [b"a file"] and torch.equal(first, again)
    torch.testing.assert_close(first, clap.audio(clip(0), 48000))
    clap.file(b"another", read)
    assert asked == [b"a file", b"another"]


def test_towers_are_used_once_for_the_same_prompt_and_clip(monkeypatch):
    clap = ClapEmotion.load(FOLDER)
    text, audio = clap.text("happy"), clap.audio(clip(0), 48000)
    text_before = text.clone()
    text.zero_()  # what a caller does with its vector must not reach the cache
    monkeypatch.setattr(clap, "_text_model", None)
    monkeypatch.setattr(clap, "_audio", (None, None))
    assert torch.equal(clap.text("happy"), text_before)
    assert torch.equal(clap.audio(clip(0).copy(), 48000), audio)
    with pytest.raises(TypeError):
        clap.text("sad")


def test_cache_is_bounded(monkeypatch):
    monkeypatch.setattr("emotional.CACHED_VECTORS", 2)
    clap = ClapEmotion.load(FOLDER)
    for prompt in ("a", "b", "a", "c"):
        clap.text(prompt)
    assert list(clap._cache) == [("text", "a"), ("text", "c")]


def test_other_rates_mean_the_same_clip(clap):
    """Noise below 7 kHz, so that nothing is lost at 16 kHz; the tiny model's own clips differ by more than this."""
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(48000))
    spectrum[7000:] = 0
    original = (np.fft.irfft(spectrum) * 0.1).astype(np.float32)
    expected = clap.audio(original, 48000)
    for up, down, rate in ((147, 160, 44100), (1, 3, 16000)):
        resampled = clap.audio(resample_poly(original, up, down), rate)
        wrong_rate = clap.audio(resample_poly(original, up, down), 48000)
        assert (resampled - expected).norm() < 0.5 * (wrong_rate - expected).norm()


def test_long_clips_are_the_same_every_time_and_leave_the_global_generator_alone():
    long = np.tile(clip(1), 3)  # 12.6 s
    np.random.seed(123)
    first = ClapEmotion.load(FOLDER).audio(long, 48000)
    drawn = np.random.rand()
    np.random.seed(123)
    assert np.random.rand() == drawn
    np.random.seed(7)
    assert torch.equal(ClapEmotion.load(FOLDER).audio(long, 48000), first)


@pytest.mark.parametrize(("samples", "rate"), [(np.zeros(1), 8000), (np.ones(100), 44100), (np.zeros(480_100), 48000)])
def test_any_length(clap, samples, rate):
    vector = clap.audio(samples, rate)
    assert vector.norm().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("prompt", ["x" * 5000, "\n", "😀", "<s></s>"])
def test_any_prompt(clap, prompt):
    assert clap.text(prompt).norm().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("samples", "rate", "cause"),
    [
        (np.zeros(0), 48000, "not empty"),
        (np.zeros((2, 100)), 48000, "mono"),
        (np.array([0.0, np.nan]), 48000, "not finite"),
        (np.zeros(100), 0, "rate"),
    ],
)
def test_bad_clips_are_named(clap, samples, rate, cause):
    with pytest.raises(ValueError, match=cause):
        clap.audio(samples, rate)


def test_files_of_a_release_load(tmp_path, clap):
    """pytorch_model.bin, with a buffer of position ids that newer networks do not have."""
    folder = writable_copy(FOLDER, tmp_path / "clap-htsat-fused")
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state | {"text_model.embeddings.position_ids": torch.arange(70)[None]}, folder / "pytorch_model.bin")
    released = ClapEmotion.load(folder)
    assert torch.equal(released.text("happy"), clap.text("happy"))
    assert torch.equal(released.audio(clip(0), 48000), clap.audio(clip(0), 48000))


def test_missing_tensors_are_named(tmp_path):
    folder = writable_copy(FOLDER, tmp_path / "clap-htsat-fused")
    state = load_file(folder / "model.safetensors")
    del state["audio_projection.linear1.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    clap = ClapEmotion.load(folder)
    with pytest.raises(MissingModel, match=r"lack 1 tensors \(audio_projection.linear1.weight\)"):
        clap.audio(clip(0), 48000)


def test_missing_files_are_named(tmp_path):
    folder = tmp_path / "emotional" / "clap-htsat-fused"
    folder.mkdir(parents=True)
    shutil.copy(FOLDER / "config.json", folder)
    assert list(map(str, missing_files(folder))) == [
        "preprocessor_config.json",
        "tokenizer.json",
        "model.safetensors or pytorch_model.bin",
    ]
    with pytest.raises(
        MissingModel, match=r"lacks preprocessor_config.json, .*laion/clap-htsat-fused into .*emotional"
    ):
        ClapEmotion.load(folder)


def test_weights_that_are_none_are_named(tmp_path):
    folder = writable_copy(FOLDER, tmp_path / "clap-htsat-fused")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(MissingModel, match=r"cannot be read .*put config.json"):
        ClapEmotion.load(folder)


def test_load_says_nothing(capfd):
    loaded = ClapEmotion.load(FOLDER)
    loaded.audio(clip(0), 48000)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("prompt", "weights"),
    [
        ("", (1, 0, 0, 0)),
        ("平静地", (1, 0, 0, 0)),
        ("happy", (0, 1, 0, 0)),
        ("ＨＡＰＰＹ！", (0, 1, 0, 0)),
        ("说happy一点", (0, 1, 0, 0)),
        ("开心", (0, 1, 0, 0)),
        ("說話很開心", (0, 1, 0, 0)),
        ("特别开心", (0, 1, 0, 0)),
        ("不仅开心", (0, 1, 0, 0)),
        ("生气勃勃", (0, 1, 0, 0)),
        ("I'm so mad!", (0, 0, 0, 1)),
        ("非常愤怒", (0, 0, 0, 1)),
        ("特别生气", (0, 0, 0, 1)),
        ("忍不住生气", (0, 0, 0, 1)),
        ("不开心", (0, 0, 1, 0)),
        ("不太开心", (0, 0, 1, 0)),
        ("不是很高兴", (0, 0, 1, 0)),
        ("not very happy", (0, 0, 1, 0)),
        ("高兴不起来", (0, 0, 1, 0)),
        ("别生气", (1, 0, 0, 0)),
        ("一点也不生气", (1, 0, 0, 0)),
        ("don’t be sad", (1, 0, 0, 0)),
        ("不是不开心", (1, 0, 0, 0)),
        ("不生气，很开心", (0, 1, 0, 0)),
        ("有点难过", (0.5, 0, 0.5, 0)),
        ("有点不太开心", (0.5, 0, 0.5, 0)),
        ("a little bit angry", (0.5, 0, 0, 0.5)),
        ("开心又难过", (0, 0.5, 0.5, 0)),
        ("happy, joyful and sad", (0, 0.5, 0.5, 0)),
        ("happy but slightly sad", (0, 2 / 3, 1 / 3, 0)),
    ],
)
def test_words_choose_emotions(prompt, weights):
    found, understood = emotion_weights(prompt, EMOTIONS)
    assert understood and found == pytest.approx(weights)


@pytest.mark.parametrize("prompt", ["神秘兮兮", "mysterious", "made of sadism", "？"])
def test_unknown_prompts_are_neutral_and_said_to_be_unknown(prompt):
    assert emotion_weights(prompt, EMOTIONS) == ([1, 0, 0, 0], False)


SIX = ("neutral", "happy", "sad", "angry", "gentle", "whisper")


@pytest.mark.parametrize(
    ("prompt", "mood"),
    [
        *(
            ("温柔地", "gentle"),
            ("用亲切的语气", "gentle"),
            ("gently and softly", "gentle"),
            ("轻声细语地说", "gentle"),
        ),
        *(("轻声说", "whisper"), ("悄悄地", "whisper"), ("she whispers", "whisper"), ("压低声音", "whisper")),
        *(("平静", "neutral"), ("严肃", "neutral"), ("别温柔", "neutral"), ("开心", "happy")),
    ],
)
def test_a_voice_of_six_moods_is_gentle_and_whispers(prompt, mood):
    weights, understood = emotion_weights(prompt, SIX)
    assert weights == [float(name == mood) for name in SIX] and understood
    if mood == "gentle":  # as it was to a voice that has no such mood
        assert emotion_weights(prompt, EMOTIONS) == ([1, 0, 0, 0], True)
    if mood == "whisper":
        assert emotion_weights(prompt, EMOTIONS) == ([1, 0, 0, 0], False)


def test_what_was_understood_can_be_told():
    assert in_words([0, 0, 0, 0, 0.5, 0.5], SIX).pair == ("温柔 50 %、轻声 50 %", "gentle 50 %, whisper 50 %")
    assert in_words(emotion_weights("温柔地", EMOTIONS)[0], EMOTIONS).pair == ("平静 100 %", "neutral 100 %")
    weights, _ = emotion_weights("有点难过", EMOTIONS)
    assert in_words(weights, EMOTIONS).pair == ("平静 50 %、难过 50 %", "neutral 50 %, sad 50 %")
    assert in_words([0.0, 1.0], ["0", "7"]).pair == ("7 100 %", "7 100 %")


def test_a_voice_may_bring_its_own_words():
    own = {"flat": [], "soft": ["温柔", "gentle", "gentle and sad"], "sad": ["sad"]}
    assert emotion_weights("温柔地", own) == ([0, 1, 0], True)
    assert emotion_weights("gentle and sad", own) == ([0, 1, 0], True)
    assert emotion_weights("SOFT", own) == ([0, 1, 0], True)
    assert emotion_weights("开心", own) == ([1, 0, 0], False)
    assert emotion_weights("开心", ["平静", "happy"]) == ([0, 1], True)
    with pytest.raises(ValueError, match="at least one"):
        emotion_weights("sad", [])


@given(st.text() | st.text(alphabet="不太没别有点开心难过生气 nothapysd,"))
def test_weights_are_a_distribution_for_any_text(prompt):
    weights, _ = emotion_weights(prompt, EMOTIONS)
    assert sum(weights) == pytest.approx(1) and min(weights) >= 0
