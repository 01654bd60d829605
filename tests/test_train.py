"""The recipe of the embedded voice: what its figures rest on. espeak-ng's own tests run where it is installed."""

import ctypes
import ctypes.util
import importlib
import sys
from argparse import Namespace
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from models.checkpoint import load_checkpoint
from models.config import SMALL, SynthesizerConfig
from models.duration import StochasticDurationPredictor
from train.__main__ import run
from train.common import Utterance, build, config, initials, tokens_to_ids, with_blanks
from train.data import LEAD, TAIL, Item, melody, pinyin, timing, utterance, write
from train.decoder import FRAMES, level, sound, windows
from train.ear import Ear, ear_losses, frame_labels
from train.espeak import Event, Teacher, _Event, without_gaps
from train.evaluate import groups_of, locked
from train.features import (
    CHANNELS,
    HOP,
    LOG2_F0,
    MELS,
    PERIODIC,
    SAMPLE_RATE,
    TENTS,
    VOICED,
    envelope,
    even_centres,
    latent,
    log_mel,
    pitch,
)
from train.loop import Run, load, options
from train.losses import EDGE, cut, level_loss, log_mels, mel_loss, stft_loss
from train.pictures import read_log
from train.prosody import PRIOR_STD, collate, expand
from train.recognise import count, match, reference_labels, voices
from train.recordings import align_all, even, intervals, monotonic_alignment, prepare, read_filelist, sounds, tokens_of
from train.rhythm import SPREAD, rhythm_loss, to_noise
from train.sentences import MARKS, sentences, third_tones
from train.speakers import EMOTIONS, SPEAKERS, read_cast, write_cast
from train.standins import render

needs_espeak = pytest.mark.skipif(
    ctypes.util.find_library("espeak-ng") is None, reason="libespeak-ng1 is not installed"
)


def glide(low: float, high: float, frames: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """A voice-like tone from low to high Hz, and its F0 at the frames' centres."""
    samples = np.arange(frames * HOP)
    f0 = low + (high - low) * samples / len(samples)
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE
    wave = sum(0.2 / k * np.cos(k * phase) for k in range(1, 8))
    return wave, f0[HOP // 2 :: HOP]


@pytest.mark.parametrize(("low", "high"), [(70, 110), (150, 220)])
def test_the_latent_holds_pitch_and_how_periodic_it_is(low, high):
    wave, true = glide(low, high)
    values, f0 = latent(wave, 50, 380)
    inner = slice(5, -5)
    assert np.abs(f0[inner] / true[inner] - 1).max() < 0.01
    assert values.shape == (80, CHANNELS) and values[inner, VOICED].all()
    assert np.allclose(values[inner, :TENTS].sum(1), 1)
    assert values[inner, PERIODIC].min() > 0.8


@pytest.mark.parametrize("f0", [80.0, 160.0, 320.0])
def test_an_envelope_has_no_ripple_and_is_as_high_as_the_pulses_power(f0):
    """Harmonics of equal amplitude are a flat line, whatever their distance: a^2 / 2 in each F0 Hz."""
    samples, amplitude = np.arange(40 * HOP), 0.02
    wave = sum(amplitude * np.cos(2 * np.pi * k * f0 * samples / SAMPLE_RATE) for k in range(1, int(10_000 / f0)))
    flat = envelope(wave, np.full(40, f0))[10:30, 30:]
    noise = np.random.default_rng(0).normal(0, amplitude * np.sqrt(SAMPLE_RATE / f0 / 4), 400 * HOP)
    assert flat.std() < 0.1
    assert abs(flat.mean() - log_mel(noise)[10:-10, 30:].mean()) < 0.2  # noise of the same power in each Hz


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(0).normal(0, 0.1, 40 * HOP)
    assert (pitch(noise, 50, 380)[0] == 0).mean() > 0.9
    assert not pitch(np.zeros(10 * HOP), 50, 380)[0].any()


def test_sentences_repeat_for_a_seed_and_hold_only_syllables_and_marks():
    first, again, other = (list(islice(sentences(seed, 1_000), 40)) for seed in (3, 3, 4))
    assert first == again != other
    assert all(t in MARKS or t[-1] in "12345" for tokens in first for t in tokens)


def test_third_tones_inside_a_word_and_silent_marks():
    assert third_tones(["xi3", "shou3", "jian1"]) == ["xi2", "shou3", "jian1"]
    assert pinyin(["ni3", "'", "hao3", "…", "ma5", "?", "!"]) == "ni3 hao3 ; ma5 . "


def test_durations_cover_every_phone_and_blank_with_at_least_a_frame():
    tokens = ["ni3", ",", "er4", "…", "!"]
    durations, centres, length = timing(tokens, [(0, 2000, 5000), (9000, 9100, 14000)])
    phones, tones = tokens_to_ids(tokens)
    assert len(durations) == len(phones) == len(tones) and min(durations) >= 1
    assert sum(durations) == len(centres) and (np.diff(centres) > 0).all() and centres[-1] < length
    comma = [i for i, p in enumerate(phones) if p][2]  # n, i, comma
    assert sum(durations[comma : comma + 2]) == 16  # it holds the pause of 4000 samples
    assert length == (LEAD + TAIL) * HOP + 14000
    assert with_blanks([5, 6]) == [0, 5, 0, 6, 0]


@pytest.mark.parametrize("late", [0, 60, 128, 200])
def test_a_phone_begins_where_a_frame_does(late):
    """Wherever in the teacher's frames a burst lies, 700 samples before its vowel, it is at the same place in ours."""
    start, split, end = 1500 + late, 3000 + late, 8000 + late
    durations, centres, length = timing(["ta1", "ta1"], [(0, 700, start), (start, split, end)])
    wave = np.zeros(length)
    wave[split + LEAD * HOP - 700] = 1.0
    wave += 0.01 * np.sin(2 * np.pi * 110 * np.arange(length) / SAMPLE_RATE) * (np.arange(length) > split + LEAD * HOP)
    heard = log_mel(wave, centres)[sum(durations[:8]) - 4 :][:6]  # around where the second vowel begins
    wave = np.roll(wave, -late)
    expected = log_mel(wave, np.arange(6) * HOP + HOP // 2 + 3000 + LEAD * HOP - 4 * HOP)
    assert np.abs(heard - expected)[:3].max() < 1e-6


def _utterance(values: np.ndarray):
    phones, tones = tokens_to_ids(["a1"])
    durations = [len(values) - len(phones) + 1] + [1] * (len(phones) - 1)
    item = Item(["a1"], durations, 0, 0, 1.0, frames=len(values))
    tensors = (torch.tensor(x) for x in (phones, tones, durations))
    samples = np.zeros(len(values) * HOP, np.int16)
    return Utterance(*tensors, values.astype(np.float16), samples, even_centres(len(samples)), item)


def test_expand_repeats_tokens():
    x = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
    assert expand(x, torch.tensor([[1, 2], [1, 0]])).tolist() == [[[1, 2, 2]], [[3, 0, 0]]]


def test_losses_are_zero_for_equal_waves_and_do_not_see_phase():
    wave = torch.randn(1, 8192, generator=torch.Generator().manual_seed(0))
    x, turned, loud = (cut(w) for w in (wave, -wave, 2 * wave))
    assert stft_loss(x, x) == 0 and stft_loss(turned, x) < 1e-5 and stft_loss(loud, x) > 0.6
    mels, turned_mels, loud_mels = (log_mels(windows) for windows in (x, turned, loud))
    assert level_loss(turned_mels, mels) < 1e-5 and level_loss(loud_mels, mels).item() == pytest.approx(np.log(2), 1e-4)


def test_the_teachers_windows_lie_where_its_frames_do(tmp_path):
    """A decoder that says in even frames what the teacher says in uneven ones is right."""
    rng = np.random.default_rng(0)
    wave = (3000 * rng.standard_normal(60 * HOP)).astype(np.int16)
    apart = np.full(56, HOP)
    apart[20] = 2 * HOP  # a frame of the teacher's is left out there
    centres = 300 + np.cumsum(apart)
    item = Item(["a1"], [1] * 56, 0, 0, 1.0)
    made = [(wave[:HOP], even_centres(HOP), np.zeros((1, CHANNELS)), item)]  # an utterance before it
    write(tmp_path / "test-0", [*made, (wave, centres, np.zeros((56, CHANNELS)), item)])
    kept = {name: np.load(tmp_path / "test-0" / f"{name}.npy") for name in ("wav", "centres")}
    assert np.array_equal(kept["wav"][HOP:], wave) and np.array_equal(kept["centres"][1:], centres)
    u = Utterance(*[torch.zeros(0)] * 3, np.zeros((56, CHANNELS)), wave, centres, item)
    begin = centres[0] - HOP // 2
    ours = cut(torch.from_numpy(wave[begin : begin + FRAMES * HOP].astype(np.float32) / 32768)[None])
    for mine, theirs in zip(ours, windows(u, 0), strict=True):
        at = EDGE * HOP + np.arange(len(theirs)) * (FRAMES - 2 * EDGE) * HOP / len(theirs)
        before = at + mine.shape[-1] // 2 < 20 * HOP
        assert before.any() and np.array_equal(mine[0].numpy()[before], theirs[before])
    jump = log_mels([torch.from_numpy(w)[None] for w in windows(u, 0)])[0].numpy().T
    assert np.allclose(jump, log_mel(wave / 32768, centres[EDGE : FRAMES - EDGE]), atol=1e-3)


def test_a_decoder_begins_with_the_pitch_that_the_latent_tells():
    """Before any training: of four speakers at one pitch, which glides."""
    wave, true = glide(150, 200)
    values, _ = latent(wave, 50, 380)
    net = build()
    level(net.dec)
    given = torch.from_numpy(values.T)[None].repeat(len(SPEAKERS), 1, 1)
    noise = torch.randn(len(given), HOP, len(values), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        waves = sound(net, given, noise, torch.arange(len(given)))
    assert waves.shape == (len(given), len(wave)) and 0.01 < waves.std() < 0.3
    for one in waves.numpy():
        heard, _ = pitch(one, 50, 380)
        assert (heard[8:-8] > 0).all() and np.abs(heard / true - 1)[8:-8].max() < 0.02


def test_the_prior_leaves_the_pitch_alone():
    assert PRIOR_STD[LOG2_F0] < 0.01 < PRIOR_STD.max() <= 0.2
    assert {"neutral", "happy", "sad", "angry"} == set(EMOTIONS) and len(SPEAKERS) >= 2


def test_the_judge_wants_what_is_said():
    """A third tone right before another one is the second, across words and a silent mark, but not across a pause."""
    said = reference_labels(["ma3", "ma3", "'", "ma3", ",", "ma3", "ta1"])
    assert said == ["m", "a2", "m", "a2", "m", "a3", "m", "a3", "t", "a1"]


def test_the_judge_hears_voices_between_and_beyond_the_speakers_and_none_of_them():
    """Low and high ones, each another; the speakers' own tracts lie inside what is drawn."""
    drawn = voices(64, 777)
    texts = [text.split("\n", 2)[2] for text in drawn.values()]
    assert drawn == voices(64, 777) and len(set(texts)) == 64
    lines = {key: [float(text.split(key)[1].split()[0]) for text in texts] for key in ("pitch ", "formant 1 ")}
    for speaker in SPEAKERS:
        assert all(speaker.variant.split("\n", 2)[2].split("roughness")[0] not in text for text in texts)
        for key, values in lines.items():
            if key in speaker.variant:
                own = float(speaker.variant.split(key)[1].split()[0])
                assert min(values) < own < max(values)


@needs_espeak
def test_the_teacher_takes_the_judges_voices(tmp_path):
    """A variant file that espeak-ng cannot read would be spoken in its usual voice, at its usual pitch."""
    drawn = voices(6, 1)
    teacher = Teacher(tmp_path, drawn)
    for name, text in drawn.items():
        low, high = (int(value) for value in text.split("pitch ")[1].split()[:2])
        samples, _ = teacher.say("ta1 jin1 tian1 zhong1 gong1 . ", name, EMOTIONS["neutral"])
        f0, _ = pitch(samples / 32768.0, 45, 540)
        assert low * 0.9 < np.median(f0[f0 > 0]) < high * 1.1


def test_errors_are_counted_for_phones_and_for_tones_of_matched_finals():
    said = ["n", "i3", "h", "ao3"]

    def errors(heard):
        return tuple(count(match(said, heard)))

    assert errors(said) == (0, 4, 0, 2)
    assert errors(["n", "i2", "h", "ao3"]) == (0, 4, 1, 2)
    assert errors(["n", "i3", "ao3", "x"]) == (2, 4, 0, 2)
    assert errors([]) == (4, 4, 0, 0)
    assert match(said, ["n", "h", "ao4"]) == [("n", "n"), ("i3", ""), ("h", "h"), ("ao3", "ao4")]


@needs_espeak
def test_the_teacher_speaks_at_the_speakers_pitch(tmp_path):
    teacher = Teacher(tmp_path, {f"s{i}": s.variant for i, s in enumerate(SPEAKERS)})
    tokens = ["jin1", "tian1", "bu4", "mang2", ",", "hen3", "hao3", "."]
    for i, (speaker, hertz) in enumerate(zip(SPEAKERS, (172, 86, 232, 112), strict=True)):
        wav, durations, centres = utterance(teacher, tokens, i, EMOTIONS["neutral"])
        assert len(durations) == len(tokens_to_ids(tokens)[0]) and len(centres) == sum(durations)
        assert abs(len(wav) - sum(durations) * HOP) < 5 * HOP and len(wav) == centres[-1] + HOP // 2
        f0, _ = pitch(wav / 32768.0, speaker.low, speaker.high)
        assert abs(np.median(f0[f0 > 0]) / hertz - 1) < 0.15
    _, events = teacher.say("ni3 hao3 . ", "s0", EMOTIONS["neutral"])
    assert Event("phoneme", 0, "n") in events


def test_the_average_follows_the_weights_and_goes_on_from_a_file(tmp_path, capsys):
    args = Namespace(out=tmp_path / "state.pt", resume=True, steps=2)

    def run() -> Run:
        layer = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(layer.weight)
        return Run(args, {"dec": layer}, torch.optim.SGD(layer.parameters()), decay=0.9, table=["a"])

    first = run()
    weight = first.parts["dec"].weight

    def learn(step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss = -weight.sum() if step == 0 else 0 * weight.sum()  # 1 after the first step, and after the second
        return loss, {"loss": loss}

    first.loop(learn, lambda _: 1.0)
    assert capsys.readouterr().out.startswith("step 2  loss ")
    state = load(args.out)
    assert state["average"]["weight"].item() == pytest.approx(0.19, abs=1e-5)
    assert (state["step"], state["table"], state["dec"]["weight"].item()) == (2, ["a"], pytest.approx(1, abs=1e-5))
    again = run()
    assert again.step == 2 and again.seconds == state["seconds"]
    assert again.average.module.weight.item() == pytest.approx(0.19, abs=1e-5)
    args.steps = 3
    again.loop(lambda _: (0 * again.parts["dec"].weight.sum(), {}), lambda _: 1.0)
    assert load(args.out)["average"]["weight"].item() == pytest.approx(0.271, abs=1e-5)
    args.out, args.steps = tmp_path / "nothing-to-do.pt", 0
    run().loop(learn, lambda _: 1.0)
    assert load(args.out)["step"] == 0  # later stages find it all the same


def test_initials_are_the_first_phones_of_syllables():
    phones, tones = tokens_to_ids(["ni3", ",", "hao3"])
    durations = torch.ones(len(phones), dtype=torch.long)
    item = Item(["ni3", ",", "hao3"], durations.tolist(), 0, 0, 1.0, frames=len(phones))
    silent, none = np.zeros((len(phones), CHANNELS), np.float16), np.zeros(0, np.int16)
    row = Utterance(torch.tensor(phones), torch.tensor(tones), durations, silent, none, none, item)
    marked = initials(collate([row]).tones)[0].nonzero().flatten().tolist()
    assert marked == [3, 9]  # blanks between; "_" is token 1, n 3, i 5, the comma 7, h 9


def test_frames_have_the_label_of_their_phone_and_pauses_none():
    phones, tones = tokens_to_ids(["ni3", ","])
    durations = [1, 2, 1, 3, 2, 2, 2, 4, 1, 2, 1]  # blank _ blank n blank i blank , blank _ blank
    item = Item(["ni3", ","], durations, 0, 0, 1.0, frames=21)
    tensors, none = (torch.tensor(x) for x in (phones, tones, durations)), np.zeros(0, np.int16)
    u = Utterance(*tensors, np.zeros((21, CHANNELS), np.float16), none, none, item)
    n, i = phones[3], phones[5]
    assert frame_labels(u).tolist() == [0] * 4 + [n] * 3 + [i] * 6 + [0] * 8


def test_the_mels_of_the_losses_are_those_of_the_latent():
    wave, _ = glide(100, 200)
    ours = log_mels(cut(torch.from_numpy(wave.astype(np.float32))[None]))[0].numpy().T
    assert np.abs(ours - log_mel(wave)[EDGE:-EDGE]).max() < 0.01
    mel = torch.randn(2, MELS, 4, generator=torch.Generator().manual_seed(0))
    heavy = torch.tensor([[0.0, 0, 0, 1], [0, 0, 0, 0]])
    assert mel_loss(mel, mel) == 0
    assert mel_loss(mel, torch.zeros_like(mel), heavy).item() == pytest.approx(mel[0, :, 3].abs().mean().item())


def test_the_ear_hears_no_difference_between_equal_mels():
    torch.manual_seed(0)
    ear = Ear().eval()
    mel, phones = torch.randn(2, MELS, 20), torch.zeros(2, 20, dtype=torch.long)
    same, _ = ear_losses(ear, mel, mel, phones)
    other, entropy = ear_losses(ear, mel + 0.5, mel, phones)
    assert same == 0 < other and entropy > 0


def test_the_likelihood_of_durations_turns_sampling_round():
    torch.manual_seed(0)
    sdp = StochasticDurationPredictor(SynthesizerConfig.from_json(config(), SMALL)).double()
    x, mask, speaker = torch.randn(1, 96, 5).double(), torch.ones(1, 1, 5).double(), torch.randn(1, 64, 1).double()
    pair = torch.randn(1, 2, 5).double()
    with torch.no_grad():
        noise, _ = to_noise(sdp, x, mask, speaker, pair)
        assert torch.allclose(sdp(x, mask, speaker, noise), pair[:, :1], atol=1e-6)
    x, mask, pair = x[..., :1], mask[..., :1], pair[..., :1]  # one token alone: the slope is a 2 x 2 matrix
    slope = torch.autograd.functional.jacobian(lambda p: to_noise(sdp, x, mask, speaker, p)[0].flatten(), pair)
    assert torch.linalg.slogdet(slope.reshape(2, 2))[1].item() == pytest.approx(
        to_noise(sdp, x, mask, speaker, pair)[1].item(), abs=1e-6
    )


def test_durations_become_likelier_with_training():
    torch.manual_seed(0)
    sdp = StochasticDurationPredictor(SynthesizerConfig.from_json(config(), SMALL))
    x, mask, speaker = torch.zeros(8, 96, 4), torch.ones(8, 1, 4), torch.zeros(8, 64, 1)
    durations = torch.full((8, 4), 10.0).log()
    optimizer = torch.optim.Adam(sdp.parameters(), 5e-3)
    seen = []
    for _ in range(150):
        loss = rhythm_loss(sdp, x, mask, speaker, durations + SPREAD[1] * torch.randn(8, 4))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(sdp.parameters(), 1.0)
        optimizer.step()
        seen.append(loss.item())
    least = 0.5 * np.log(2 * np.pi * np.e * SPREAD[1] ** 2)  # a normal distribution's entropy
    assert least - 0.2 < np.mean(seen[-5:]) < seen[0] - 1
    with torch.no_grad():
        drawn = sdp(x, mask, speaker, torch.randn(8, 2, 4)).exp()
    assert 7 < drawn.median() < 14


def test_a_statement_falls_and_a_question_rises():
    fall, rise = (melody(["ta1"] * 8 + [mark]) for mark in ".?")
    assert fall[0] > fall[3] == 0 > fall[5] > fall[7] and rise[7] > rise[6] > rise[3] == 0
    two = melody(["ta1"] * 8 + [".", "hao3", "?"])
    assert two[:9] == fall and two[9] > 0
    assert pinyin(["ta1", "hao3"], [0.0, 1.0], 50) == 'ta1 <prosody pitch="55"> hao3 </prosody> . '


def test_zeros_between_touching_words_are_taken_out():
    samples = np.array([1, 2, 0, 0, 0, 3, 4, 0, 0, 5], np.int16)
    events = [Event("phoneme", at, name) for at, name in ((0, "a"), (2, "_|"), (5, "b"), (7, "_:"), (9, "c"))]
    left, moved = without_gaps(samples, events)
    assert left.tolist() == [1, 2, 3, 4, 0, 0, 5]  # a pause stays
    assert [e.sample for e in moved] == [0, 2, 2, 4, 6]


def test_what_espeak_calls_back_with_becomes_samples_and_events():
    """A piece of sound, a word, a mark that is nothing to us, a phoneme, and the type 0 that ends the list."""
    teacher = Teacher.__new__(Teacher)
    teacher._samples, teacher._events = [], []
    rows = ((1, 10, b""), (2, 15, b""), (7, 20, b"ai."), (0, 30, b"x"))
    events = (_Event * 4)(*(_Event(type=kind, sample=at, name=name) for kind, at, name in rows))
    sound = (ctypes.c_short * 3)(1, -2, 3)
    assert ctypes.sizeof(_Event) == 40
    assert teacher._receive(ctypes.cast(sound, ctypes.POINTER(ctypes.c_short)), 3, events) == 0
    assert teacher._samples[0].tolist() == [1, -2, 3]
    assert teacher._events == [Event("word", 10, ""), Event("phoneme", 20, "ai.")]


def test_who_speaks_is_kept_with_the_data(tmp_path):
    write_cast(tmp_path, SPEAKERS[1:3])
    assert read_cast(tmp_path) == SPEAKERS[1:3]
    with pytest.raises(SystemExit, match=r"train\.data"):
        read_cast(tmp_path / "elsewhere")
    one, both = build(SPEAKERS[2:3]), build()
    assert torch.equal(one.emb_g.weight[0], both.emb_g.weight[2])


def test_monotonic_alignment_finds_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(60):
        tokens = rng.integers(1, 5)
        frames = rng.integers(tokens, 9)
        scores = rng.normal(size=(tokens, frames))

        def total(durations, scores=scores):
            return scores[np.repeat(np.arange(len(durations)), durations), np.arange(scores.shape[1])].sum()

        found = monotonic_alignment(scores)
        ways = (np.diff([0, *cuts, frames]) for cuts in combinations(range(1, frames), tokens - 1))
        assert found.min() >= 1 and found.sum() == frames
        assert total(found) == pytest.approx(max(map(total, ways)))
    with pytest.raises(ValueError, match="do not fit"):
        monotonic_alignment(np.zeros((3, 2)))


def test_sounds_find_their_places_from_a_bad_start():
    rng = np.random.default_rng(0)
    centres = {name: rng.normal(0, 3, 6) for name in "abcd"}
    names, true, heard = [], [], []
    for _ in range(20):
        row = list(rng.permutation(list("abcd")))
        lengths = rng.integers(2, 12, 4)
        names.append(row)
        true.append(lengths)
        heard.append(
            np.concatenate([centres[n] + rng.normal(0, 0.3, (d, 6)) for n, d in zip(row, lengths, strict=True)])
        )
    first = [np.diff(np.linspace(0, len(x), 5).astype(int)) for x in heard]
    assert any((a != b).any() for a, b in zip(first, true, strict=True))
    found = align_all(heard, names, first)
    assert all((a == b).all() for a, b in zip(found, true, strict=True))


def test_a_filelist_is_read_or_its_fault_is_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(10), 8000)
    file = tmp_path / "list.txt"
    file.write_text("\ufeffa.wav|小明|ZH|你好，世界！\n\na.wav | 小明 | ZH | 好 | n i\n", encoding="utf-8")
    first, second = read_filelist(file)
    assert (first.path, first.speaker, first.text, second.text) == (tmp_path / "a.wav", "小明", "你好，世界！", "好")
    for line, fault in (
        ("a.wav|小明|ZH", "not path"),
        ("b.wav|小明|ZH|好", "not there"),
        ("a.wav|x|JP|好", "language"),
    ):
        file.write_text(f"a.wav|小明|ZH|好\n{line}\n", encoding="utf-8")
        with pytest.raises(ValueError, match=f"line 2: .*{fault}"):
            read_filelist(file)
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no line"):
        read_filelist(file)


def test_a_text_becomes_tokens_sounds_and_even_finals():
    tokens = tokens_of("你好，爱！")
    assert tokens == ["ni2", "hao3", ",", "ai4", "!"]
    assert len(sounds(tokens)) == len(tokens_to_ids(tokens)[0])
    durations = np.arange(1, len(sounds(tokens)) + 1)
    starts = intervals(tokens, durations)
    assert starts[0] == (6 * HOP, 10 * HOP, 28 * HOP) and len(starts) == 3
    levelled = even(tokens, durations)
    assert sum(levelled) == durations.sum() and min(levelled) >= 1
    assert levelled[3] == 4 and max(levelled[4:7]) - min(levelled[4:7]) <= 1
    vowel = 3 + 4 + 4 + 2
    assert levelled[vowel] == round(sum(durations[vowel : vowel + 4]) / 4)


@needs_espeak
def test_recordings_without_times_are_aligned(tmp_path):
    truth = render(tmp_path / "wavs", 0.4, 5)
    net, _ = load_checkpoint(Path(__file__).parents[1] / "voices" / "xiaoyu" / "G.safetensors")
    found = prepare(read_filelist(tmp_path / "wavs" / "list.txt"), net, tmp_path / "data")
    apart = np.concatenate([np.abs(np.subtract(starts, truth[path])) for path, starts in found])
    assert len(found) == len(truth) and np.median(apart) < 0.03
    assert [s.name for s in read_cast(tmp_path / "data")] == sorted(["阿明", "阿芳"])


PROGRAMS = (
    "data decoder ear evaluate export finetune generate prosody recognise recordings rhythm standins teacher texts"
)


@pytest.mark.parametrize("program", ["__main__", "teacher", *PROGRAMS.split()])
def test_every_program_tells_what_it_takes(program, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"train/{program}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"train.{program}").main()
    name = "python -m train" + (f".{program}" if program != "__main__" else "")
    assert ended.value.code == 0 and capsys.readouterr().out.startswith(f"usage: {name} [-h] ")


def test_a_command_line_becomes_paths_numbers_and_switches(monkeypatch):
    ways = {"steps": 7, "lr": 0.5, "report": None, "full": False, "speaker": int, "decoder": [], "test_minutes": 2.0}
    line = "x.py here --lr 2 --decoder a b --full --test-minutes 3"
    monkeypatch.setattr(sys, "argv", line.split())
    args = vars(options("A program.\nAnd more.", "folder", voice=Path("v"), **ways))
    assert args == {"folder": Path("here"), "voice": Path("v"), "steps": 7, "lr": 2.0, "report": None, "full": True,
                    "speaker": None, "decoder": [Path("a"), Path("b")], "test_minutes": 3.0}  # fmt: skip


def test_stages_run_side_by_side_and_a_failure_is_named(tmp_path, capsys):
    good = [sys.executable, "-c", "print('step 5  mel 0.25  clock -1.5  9 s')"]
    run({"one": good, "two": good}, tmp_path)
    assert read_log(tmp_path / "two.log") == {"mel": [(5, 0.25)], "clock": [(5, -1.5)]}
    assert "one: step 5" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"train\.bad ended"):
        run({"bad": [sys.executable, "-c", "raise SystemExit(3)"], "one": good}, tmp_path)


def test_what_the_report_counts():
    assert groups_of(["ni3", "hao3", ",", "ma5", "."]) == [
        {"third tones in a chain", "initials m, n"},
        {"third tones in a chain"},
        {"neutral tones", "initials m, n"},
    ]
    rate = SAMPLE_RATE / HOP
    assert locked(np.array([rate, 2 * rate, 1.5 * rate, 0.0])) == pytest.approx(2 / 3)
