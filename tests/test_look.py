"""How a speech looks: pitch of known tones and of the embedded voice, spectrogram, and the picture in a browser."""

import base64
import io
import json
import math
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.signal import chirp, spectrogram

from infer.documents import audio
from infer.documents.picture import BANDS, COLUMNS, RANGE_DB, Picture, mel_spectrogram, picture_of, pitch
from infer.engine.pipeline import Engine
from infer.request import Speech, SpeechRequest
from infer.settings import load_settings
from words import pairs

WORDS = pairs("picture")
PAGE = Path(__file__).resolve().parents[1] / "page"
TEXT = "妈麻马骂。你好，世界！今天天气真好。"


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The embedded voice."""
    return Engine(load_settings(overrides=["webui.device=cpu"], environment={}))


@pytest.fixture(scope="module")
def pieces(engine) -> list[Speech]:
    return list(engine.speak([SpeechRequest(TEXT, seed=3)]))


@pytest.fixture(scope="module")
def seen(pieces) -> Picture:
    return picture_of(pieces)


# --- pitch -----------------------------------------------------------------------------------------------------------


def harmonics(phase: np.ndarray, first: int = 1) -> np.ndarray:
    return 0.2 * sum(np.sin(k * phase) / k for k in range(first, 20))


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
@pytest.mark.parametrize("hertz", [80, 110, 165, 220, 300, 400])
def test_the_pitch_of_a_tone(rate, hertz):
    phase = 2 * math.pi * hertz * np.arange(rate // 2) / rate
    noise = 0.05 * np.random.default_rng(0).standard_normal(len(phase))
    for sound in (0.5 * np.sin(phase), harmonics(phase), harmonics(phase, first=2), harmonics(phase) + noise):
        found = pitch(sound.astype(np.float32), rate, 60)[5:-5]
        np.testing.assert_allclose(found, hertz, rtol=0.005)


@pytest.mark.parametrize(("low", "high"), [(90, 140), (160, 320)])
def test_a_gliding_pitch_is_followed_without_steps(low, high):
    rate, seconds = 22050, 1.0
    hertz = low * (high / low) ** (np.arange(rate) / rate)
    found = pitch(harmonics(2 * math.pi * np.cumsum(hertz) / rate).astype(np.float32), rate, 200)[10:-10]
    expected = low * (high / low) ** ((np.arange(200) + 0.5) / 200 * seconds)[10:-10]
    np.testing.assert_allclose(found, expected, rtol=0.01)
    assert (np.diff(found) > 0).all()


def test_what_has_no_pitch():
    rate = 22050
    noise = np.random.default_rng(0).standard_normal(rate).astype(np.float32)
    for sound in (np.zeros(rate, np.float32), 1e-5 * noise, 0.3 * noise):
        assert not pitch(sound, rate, 100).any()
    tone = harmonics(2 * math.pi * 150 * np.arange(rate) / rate).astype(np.float32)
    tone[: rate // 3] = 0.02 * noise[: rate // 3]
    tone[-rate // 3 :] = 0
    voiced = pitch(tone, rate, 90) > 0
    assert not voiced[:28].any() and voiced[32:58].all() and not voiced[62:].any()


@pytest.mark.parametrize("speaker", ["小雨", "石磊"])
def test_the_embedded_voice_s_tones_are_seen(engine, speaker):
    """Tone 1 is high, 2 rises, 3 is low and 4 falls: semitones between the first and the last third of each voiced."""
    result = picture_of(list(engine.speak([SpeechRequest(TEXT, speaker=speaker, seed=3)])))
    levels, rises = {}, {}
    for character in result.characters:
        begin, end = (round(t * len(result.pitch) / result.duration) for t in (character.start, character.end))
        voiced = result.pitch[begin:end][result.pitch[begin:end] > 0]
        if character.tone:
            third = len(voiced) // 3
            rise = 12 * math.log2(np.median(voiced[-third:]) / np.median(voiced[:third]))
            levels.setdefault(character.tone, []).append(np.median(voiced))
            rises.setdefault(character.tone, []).append(rise)
    levels, rises = ({tone: np.median(x) for tone, x in both.items()} for both in (levels, rises))
    assert levels[1] > levels[4] > levels[3] and levels[1] > 1.1 * levels[3]
    assert rises[2] > 0.7 and abs(rises[1]) < 0.8 and rises[4] < -0.5


# --- spectrogram, envelope, times ------------------------------------------------------------------------------------


def test_a_band_shows_what_lies_at_its_centre():
    rate = 22050
    sound = 0.5 * chirp(np.arange(2 * rate) / rate, 200, 2, 9000, "logarithmic")
    mel, centres = mel_spectrogram(sound.astype(np.float32), rate, 200, 200)
    hertz = 200 * 45 ** ((np.arange(200) + 0.5) / 200)
    nearest = np.abs(centres[:, None] - hertz).argmin(0)
    assert np.abs(mel.argmax(0) - nearest)[5:-5].max() <= 1


def test_the_spectrogram_is_that_of_another_library(pieces, seen):
    sound, rate = audio.joined(pieces), seen.sampling_rate
    hertz, times, power = spectrogram(sound, rate, "hann", 1024, 1024 - 110, scaling="spectrum")
    decibels = np.array([np.interp(seen.centres, hertz, column) for column in 10 * np.log10(power.T + 1e-12)])
    middles = (np.arange(len(seen.pitch)) + 0.5) * seen.duration / len(seen.pitch)
    theirs = np.array([np.interp(middles, times, band) for band in decibels.T])
    theirs = np.clip(1 + (theirs - theirs.max()) / RANGE_DB, 0, 1)
    assert np.corrcoef(theirs.ravel(), seen.mel.ravel())[0, 1] > 0.92


def test_a_picture_needs_no_folder_for_numba_and_compiles_nothing():
    """Without one librosa cannot be imported; some of its modules take 14 s to compile."""
    program = """
import sys
from numba.core import caching
def refuse(*_): raise RuntimeError("cannot cache function: no locator available")
caching.CacheImpl.__init__ = refuse
import numpy as np
from infer.documents.picture import mel_spectrogram
mel_spectrogram(np.ones(9999, np.float32), 22050, 50, 50)
assert not {"librosa.util.utils", "librosa.core.audio"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=PAGE.parent, check=True)


def test_silence_is_drawn_as_silence():
    mel, _ = mel_spectrogram(1e-5 * np.random.default_rng(0).standard_normal(22050).astype(np.float32), 22050, 50, 50)
    assert mel.max() < 60


def test_columns_are_bounded_and_hold_the_extremes(pieces):
    rate = pieces[0].sampling_rate
    for seconds in (0.003, 0.5, 8.0, 100.0):
        samples = np.zeros(max(1, round(seconds * rate)), np.float32)
        samples[-1:] = -0.5
        result = picture_of([replace(pieces[0], samples=samples)])
        columns = len(result.pitch)
        assert columns == min(COLUMNS, math.ceil(seconds / 0.005))
        assert result.mel.shape == (BANDS, columns) and result.envelope.shape == (columns, 2)
        assert result.envelope[-1, 0] == -64 and not result.envelope[:-1].any()
        assert result.duration == pytest.approx(seconds, abs=1 / rate)


def test_phones_and_characters_carry_their_tones_and_times(seen):
    assert "".join(c.text for c in seen.characters) == "妈麻马骂.你好,世界!今天天气真好."
    assert [c.tone for c in seen.characters] == [1, 2, 3, 4, 0, 2, 3, 0, 4, 4, 0, 1, 1, 1, 4, 1, 3, 0]
    assert [(p.text, p.tone) for p in seen.phones[:4]] == [("_", 0), ("m", 1), ("a", 1), ("m", 2)]
    for sounds in (seen.phones, seen.characters):
        assert all(a.end <= b.start + 1e-6 for a, b in pairwise(sounds))
        assert sounds[0].start >= 0 and sounds[-1].end <= seen.duration + 0.02
    envelope = np.abs(seen.envelope.astype(int)).max(1)
    for character in seen.characters:
        begin, end = (round(t * len(envelope) / seen.duration) for t in (character.start, character.end))
        quiet = np.median(envelope[begin:end]) < 5
        assert quiet != bool(character.tone), "a character is heard, a comma is not"


def test_a_part_of_a_speech_begins_at_zero(pieces, seen):
    second = [p for p in pieces if p.sentence == 1]
    part = picture_of(second)
    assert "".join(c.text for c in part.characters) == "你好,世界!"
    whole = next(c for c in seen.characters if c.text == "你")
    assert part.characters[0].start == pytest.approx(whole.start - second[0].start)
    assert part.duration == pytest.approx(sum(p.duration for p in second))
    assert "".join(c.text for c in picture_of(pieces[:1]).characters) in TEXT.replace("。", "."), (
        "a sentence still being made"
    )


def test_without_sound_there_is_nothing_to_see():
    with pytest.raises(ValueError, match="no sound"):
        picture_of([])


def test_the_dict_is_json_and_small(seen):
    packed = json.dumps(seen.as_dict())
    values = json.loads(packed)
    mel = np.frombuffer(base64.b64decode(values["mel"]), np.uint8).reshape(values["bands"], values["columns"])
    envelope = np.frombuffer(base64.b64decode(values["envelope"]), np.int8).reshape(values["columns"], 2)
    assert (mel == seen.mel).all() and (envelope == seen.envelope).all()
    np.testing.assert_allclose(values["pitch"], seen.pitch, atol=0.06)
    assert values["characters"][1][:2] == ["麻", 2]
    assert len(packed) < 200_000


# --- the picture -----------------------------------------------------------------------------------------------------

STYLE = """
:root { --body-text-color: #222; --body-text-color-subdued: #667; --block-background-fill: #fff;
  --color-accent: #0d9488;
  --border-color-primary: #ddd; --primary-50: #f0fdfa; --primary-200: #99f6e4; --primary-400: #2dd4bf;
  --primary-500: #14b8a6; --primary-600: #0d9488; --primary-900: #134e4a; --primary-950: #042f2e; }
.dark { --body-text-color: #eee; --body-text-color-subdued: #aab; --block-background-fill: #123;
  --border-color-primary: #345; }
"""


@pytest.fixture
def drawn(browser, seen):
    """A page with the picture of the speech and its stages, in English."""
    page = browser.new_page(viewport={"width": 1000, "height": 600})
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    style, script = STYLE + (PAGE / "style.css").read_text("utf-8"), (PAGE / "look.js").read_text("utf-8")
    page.set_content(
        f"<!doctype html><style>{style}</style><div id='look'></div><div id='stages'></div>"
        f"<script>window.pageLanguage = 1;\n{script}</script>"
    )
    page.evaluate(
        "([data, words]) => { window.drawn = drawLook(document.querySelector('#look'), data, words); }",
        [seen.as_dict(), WORDS],
    )
    settle(page)
    yield page
    page.close()
    assert not faults


def settle(page) -> None:
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def pixels(page, name: str) -> np.ndarray:
    """What a canvas shows: uint8 [height, width, 4]."""
    address = page.evaluate(f"() => document.querySelector('.look-{name}').toDataURL()")
    return np.array(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA"))


def test_the_picture_shows_the_sound(drawn, seen):
    for name, words in (("wave", "5.* s · pitch"), ("mel", "pitch curve: 5.* s"), ("sounds", "妈麻马骂")):
        canvas = drawn.locator(f"canvas.look-{name}")
        assert canvas.get_attribute("role") == "img"
        assert all(part in canvas.get_attribute("aria-label") for part in words.split(".* "))
    image = pixels(drawn, "mel")
    width = image.shape[1]
    bright = image[..., :3].mean(axis=(0, 2))
    loud = np.interp(
        (np.arange(width) + 0.5) / width, (np.arange(len(seen.pitch)) + 0.5) / len(seen.pitch), seen.mel.mean(0)
    )
    assert np.corrcoef(bright, loud)[0, 1] < -0.9, "louder is darker on a light page"
    wave = pixels(drawn, "wave")[24:, :, 3] > 128
    thick = np.abs(seen.envelope.astype(int)).max(1)
    at = np.minimum((np.arange(width) + 0.5) / width * len(thick), len(thick) - 1).astype(int)
    assert np.corrcoef(wave.sum(0), thick[at])[0, 1] > 0.8


def test_the_pitch_is_drawn_where_there_is_one(drawn, seen):
    image = pixels(drawn, "mel").astype(int)
    orange = (abs(image[..., 0] - 0xC2) < 30) & (abs(image[..., 1] - 0x41) < 40) & (image[..., 2] < 60)
    columns = np.minimum((np.arange(orange.shape[1]) + 0.5) / orange.shape[1] * len(seen.pitch), len(seen.pitch) - 1)
    hertz = seen.pitch[columns.astype(int)]
    has = orange.any(0)
    assert has[hertz > 0].mean() > 0.95 and has[hertz == 0].mean() < 0.1
    rows = np.array([np.flatnonzero(c).mean() if c.any() else np.nan for c in orange.T])
    both = has & (hertz > 0)
    assert np.corrcoef(rows[both], np.log(hertz[both]))[0, 1] < -0.97, "higher is further up"
    labels = [float(t) for t in drawn.locator(".look-axis-pitch span").all_inner_texts() if t != "Hz"]
    assert len(labels) >= 2 and min(labels) < np.median(hertz[hertz > 0]) < max(labels)


def test_dark_pages_get_a_dark_picture(drawn):
    light = pixels(drawn, "mel")[..., :3].mean()
    drawn.evaluate("document.body.classList.add('dark')")
    settle(drawn)
    assert light > 150 and pixels(drawn, "mel")[..., :3].mean() < 100


def test_a_click_seeks_and_the_playhead_moves(drawn, seen):
    drawn.evaluate("() => { window.sought = []; drawn.onseek = (s) => window.sought.push(s); }")
    box = drawn.locator(".look-view").bounding_box()
    drawn.locator(".look-mel").click(position={"x": box["width"] / 4, "y": 50})
    (sought,) = drawn.evaluate("window.sought")
    assert sought == pytest.approx(seen.duration / 4, abs=0.02)
    playhead = drawn.locator(".look-playhead")
    assert playhead.is_hidden()
    for seconds in (0.5, 3.0):
        drawn.evaluate(f"drawn.playhead({seconds})")
        x = playhead.bounding_box()["x"] - box["x"]
        assert x == pytest.approx(box["width"] * seconds / seen.duration, abs=2)
    drawn.evaluate("drawn.playhead(null)")
    assert playhead.is_hidden()
    drawn.locator(".look-mel").hover(position={"x": box["width"] * 0.33, "y": 50})
    assert "好" in drawn.locator(".look-readout").inner_text()


def test_zoom_gives_every_character_room_and_follows_the_playhead(drawn, seen):
    scroll = drawn.locator(".look-scroll")
    assert scroll.evaluate("(s) => s.scrollWidth - s.clientWidth") <= 1, "the whole at first"
    slider = drawn.get_by_label("Zoom")
    slider.focus()
    drawn.keyboard.press("End")
    settle(drawn)
    shortest = min(c.end - c.start for c in seen.characters if c.tone)
    width = scroll.evaluate("(s) => s.scrollWidth")
    assert width / seen.duration * shortest >= 59
    assert drawn.locator(".look-mel").evaluate("(c) => c.width") < 1100, "only what is in sight is drawn"
    drawn.evaluate("drawn.playhead(4.5)")
    settle(drawn)
    at = 4.5 / seen.duration * width - scroll.evaluate("(s) => s.scrollLeft")
    box, line = drawn.locator(".look-view").bounding_box(), drawn.locator(".look-playhead").bounding_box()
    assert 0 < at < box["width"] and line["x"] - box["x"] == pytest.approx(at, abs=2)


def test_a_narrow_page_begins_with_readable_characters(drawn, seen):
    drawn.set_viewport_size({"width": 390, "height": 600})
    drawn.evaluate("([data, words]) => drawLook(document.querySelector('#look'), data, words)", [seen.as_dict(), WORDS])
    settle(drawn)
    assert drawn.locator(".look").count() == 1, "the new picture stands in the old one's place"
    usual = np.median([c.end - c.start for c in seen.characters if c.tone])
    scroll = drawn.locator(".look-scroll")
    assert scroll.evaluate("(s) => s.scrollWidth") / seen.duration * usual > 35
    drawn.get_by_label("Zoom").fill("0")
    assert scroll.evaluate("(s) => s.scrollWidth - s.clientWidth") <= 1, "the whole is a turn of the knob away"


def test_a_resized_page_is_drawn_anew(drawn):
    drawn.set_viewport_size({"width": 500, "height": 600})
    settle(drawn)
    room = drawn.locator(".look-view").bounding_box()["width"]
    assert 350 < room < 500 and pixels(drawn, "mel").shape[1] == pytest.approx(room, abs=1)
    assert drawn.evaluate("document.documentElement.scrollWidth") <= 500


def test_the_stages_are_told_in_words(drawn):
    stages = {"text": 0.012, "bert": 4e-6, "encode": 0.0213, "flow": 0.1, "decode": 0.8667}
    drawn.evaluate("([s, w]) => drawStages(document.querySelector('#stages'), s, 5, w)", [stages, WORDS])
    told = drawn.locator("#stages")
    assert told.locator("p").inner_text() == "5.0 s of sound made in 1.0 s, 5.0 times as fast as it plays (RTF 0.20)"
    assert told.locator("li").all_inner_texts() == ["Text 12 ms", "Encoder 21 ms", "Flow 100 ms", "Decoder 867 ms"]
    shares = told.locator(".look-stages-bar span").evaluate_all("(all) => all.map((s) => s.offsetWidth)")
    assert shares[-1] / sum(shares) == pytest.approx(0.8667, abs=0.02)
