"""Engine.speak: the same request gives the same samples, in pieces, through shapes that never change."""

import base64
import io
import itertools
import json
import lzma
import shutil
import zlib
from functools import partial

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

import text
from infer.documents import audio
from infer.engine import shapes
from infer.engine.pipeline import Engine
from infer.engine.stages import times, tokenise
from infer.request import BadRequest, MissingFiles, SpeechError, SpeechRequest
from infer.settings import load_settings
from models import align, load_checkpoint
from models.checkpoint import read_config
from models.synthesizer import sample_prior
from tests.conftest import golden, writable_copy
from tests.voices import loaded, make_tiny_voice, speak

LONG = "今天天气很好，我们一起去公园散步吧。他说，银行在前面！你觉得怎么样？"


def settings(folder, *overrides):
    return load_settings(overrides=[f"voices=[{folder}]", "webui.device=cpu", *overrides], environment={}, root=folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    make_tiny_voice(folder / "tiny")
    return Engine(settings(folder))


@pytest.fixture(scope="module")
def special(tmp_path_factory):
    """An owner's checkpoint of the extra-fix family, with a BERT and a CLAP of the real widths, all random."""
    from transformers import ClapConfig, ClapModel

    folder = tmp_path_factory.mktemp("special")
    source = golden() / "models" / "extra-fix"
    (folder / "voices" / "owner" / "models").mkdir(parents=True)
    shutil.copyfile(source / "config.json", folder / "voices" / "owner" / "config.json")
    with lzma.open(source / "G_golden.safetensors.xz") as file:
        state = safetensors.torch.load(file.read())
    torch.save({"model": state, "iteration": 1}, folder / "voices" / "owner" / "models" / "G_100.pth")

    bert = writable_copy(golden() / "bert" / "megatron-tiny", folder / "bert" / "wide")
    config = json.loads((bert / "config.json").read_text()) | {"hidden_size": 2048, "num_hidden_layers": 2}
    (bert / "config.json").write_text(json.dumps(config))
    names = ("word_embeddings", config["vocab_size"]), ("position_embeddings", 128), ("token_type_embeddings", 2)
    random = torch.Generator().manual_seed(0)
    weights = {f"embeddings.{n}.weight": torch.randn(rows, 2048, generator=random) for n, rows in names}
    weights |= {f"encoder.ln.{n}": torch.ones(2048) for n in ("weight", "bias")}  # hidden_states[-3] comes before it
    safetensors.torch.save_file(weights, bert / "model.safetensors", metadata={"format": "pt"})

    clap = writable_copy(golden() / "clap-tiny", folder / "emotional" / "clap")
    (clap / "model.safetensors").unlink()
    config = ClapConfig.from_pretrained(golden() / "clap-tiny")
    config.projection_dim = config.text_config.projection_dim = config.audio_config.projection_dim = 512
    torch.manual_seed(0)
    ClapModel(config).save_pretrained(clap)
    return folder


def special_settings(folder, *overrides):
    return load_settings(
        overrides=["webui.device=cpu", "bert_path=bert/wide", "clap_path=emotional/clap", *overrides],
        environment={},
        root=folder,
    )


def test_pieces_are_the_whole_and_carry_their_times(tiny):
    pieces = list(tiny.speak([SpeechRequest(LONG, pause=0.25)]))
    assert len(pieces) > pieces[0].sentences == 3
    assert all(p.samples.dtype == np.float32 and np.abs(p.samples).max() <= 1 for p in pieces)
    starts = np.cumsum([0.0, *(p.duration for p in pieces)])
    assert np.allclose([p.start for p in pieces], starts[:-1])
    assert [p.sentence for p in pieces] == sorted(p.sentence for p in pieces)
    for place, group in itertools.groupby(pieces, lambda p: p.sentence):
        group = list(group)
        assert [p.last for p in group] == [False] * (len(group) - 1) + [True]
        utterance, phones, characters = group[0].utterance, group[0].phones, group[0].characters
        assert [p.text for p in phones] == list(utterance.phones)
        assert [c.text for c in characters] == list(utterance.text)
        for a, b in itertools.pairwise(phones):
            assert a.start <= a.end == b.start
        pause = 0.25 if place < 2 else 0
        sounding = sum(p.duration for p in group) - pause
        assert phones[0].start == pytest.approx(group[0].start)
        assert phones[-1].end - phones[0].start == pytest.approx(sounding, abs=1e-3)
        assert characters[0].start == phones[1].start and characters[-1].end == phones[-2].end
        assert [p.pause for p in group] == [0.0] * (len(group) - 1) + [pause]  # a number, and no samples
        assert group[-1].silent().duration == group[-1].duration and not len(group[-1].silent().samples)


def test_the_same_request_gives_the_same_samples(tiny):
    request = SpeechRequest(LONG, speaker="乙", emotion="开心", seed=5)
    once, rate = speak(tiny, request)
    again, _ = speak(tiny, request)
    assert rate == 22050 and np.array_equal(once, again)
    for change in ({"seed": 6}, {"speaker": "甲"}, {"emotion": "sad"}, {"noise": 0.1}):
        other, _ = speak(tiny, request.but(**change))
        assert other.shape != once.shape or not np.array_equal(other, once), change


def test_editing_one_sentence_leaves_the_others_as_they_were(tiny):
    def sentences(said):
        pieces = tiny.speak([SpeechRequest(said, pause=0)])
        return [
            np.concatenate([p.samples for p in group]) for _, group in itertools.groupby(pieces, lambda p: p.sentence)
        ]

    before = sentences("你好。今天很冷。再见。")
    after = sentences("你好。明天会非常非常热吗？再见。")
    assert np.array_equal(before[0], after[0]) and np.array_equal(before[2], after[2])
    assert before[1].shape != after[1].shape


def test_speed_and_length(tiny):
    def seconds(**options):
        samples, rate = speak(tiny, SpeechRequest("今天天气很好。", **options))
        return len(samples) / rate

    assert seconds(speed=2.0) < seconds() < seconds(speed=0.5)
    assert seconds(length=2.0) == seconds(speed=0.5)


def test_pauses_between_sentences_and_paragraphs(tiny):
    said = "你好。再见。\n谢谢。"
    long, rate = speak(tiny, SpeechRequest(said, pause=1.0, paragraph_pause=2.0))
    short, _ = speak(tiny, SpeechRequest(said, pause=0.0, paragraph_pause=0.0))
    assert len(long) - len(short) == 3 * rate


def test_no_text_causes_a_new_shape(tiny, monkeypatch):
    seen = set()
    backend = loaded(tiny).backend

    def spy(name, call, *arguments, **options):
        flat = [x for a in arguments for x in (a if isinstance(a, tuple) else (a,)) if x is not None]
        seen.add((name, tuple(x.shape[-1] for x in flat if x.dim() > 2)))
        return call(*arguments, **options)

    for name in ("encode", "flow", "head", "tail"):
        monkeypatch.setattr(backend, name, partial(spy, name, getattr(backend, name)))
    for n in range(1, 60, 3):
        speak(tiny, SpeechRequest("一二三四五六七八九十" * 6)) if n == 1 else None
        speak(tiny, SpeechRequest("天地玄黄宇宙洪荒日月盈昃辰宿列张"[: n % 16 + 1] * (n // 8 + 1), seed=n))
    lengths = {name: {size for kind, sizes in seen if kind == name for size in sizes if size > 1} for name, _ in seen}
    assert lengths["encode"] <= set(shapes.TOKEN_BUCKETS)
    assert lengths["flow"] <= set(shapes.FRAME_BUCKETS)
    rate = tiny.load().config.upsample_rates[0]
    assert lengths["head"] <= set(tiny.settings.windows)
    assert lengths["tail"] <= {size * rate for size in tiny.settings.windows} | set(tiny.settings.windows)
    assert len(seen) > 4


def test_cancel_stops_within_one_window(tiny, monkeypatch):
    calls = []
    backend = loaded(tiny).backend
    tail = backend.tail
    monkeypatch.setattr(backend, "tail", lambda *a: calls.append(1) or tail(*a))
    pieces = []
    for piece in tiny.speak([SpeechRequest(LONG * 5)], cancelled=lambda: len(pieces) == 2):
        pieces.append(piece)
    assert len(pieces) == 2 == len(calls)
    stream = tiny.speak([SpeechRequest(LONG * 5)])
    next(stream)
    stream.close()
    assert len(calls) == 3


def test_notices_say_what_was_left_out_and_not_understood(tiny):
    pieces = list(tiny.speak([SpeechRequest("你好😀世界。再见。", emotion="xyzzy")]))
    english = " ".join(map(str, pieces[0].notices))
    assert "😀" in english and "(2)" in english and "does not know the emotion 'xyzzy'" in english
    assert all(not p.notices for p in pieces[1:])
    assert all("乱" not in notice.say("zh") for notice in pieces[0].notices)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "  \n "}, "no text"),
        ({"text": "😀😀"}, "nothing to read"),
        ({"text": "好" * 6000}, "limit is 5000"),
        ({"speaker": "丁"}, "no speaker '丁'; it has 甲, 乙"),
        ({"voice": "../tiny"}, "no voice"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"speed": float("nan")}, "speed must be a number from 0.5 to 2"),
        ({"noise": "much"}, "noise must be a number"),
        ({"emotion": 3}, "emotion must be text"),
    ],
)
def test_bad_requests_are_one_sentence_in_two_languages(tiny, changes, message):
    with pytest.raises(BadRequest, match=message) as caught:
        list(tiny.speak([SpeechRequest(**{"text": "你好", **changes})]))
    assert "\n" not in str(caught.value) and caught.value.message.say("zh")


def test_an_unknown_option_is_named():
    with pytest.raises(BadRequest, match="'sped' is no option"):
        SpeechRequest.from_dict({"text": "你好", "sped": 2})


def test_a_special_checkpoint_equals_the_network_run_whole(special):
    """BERT, CLAP, blanks, buckets, windows and noise, against the plain halves at true lengths, in one go."""
    engine = Engine(special_settings(special))
    request = SpeechRequest(
        "今天天气真好，我们去公园散步吧。", "owner", "Bella", "happy", seed=3, length=2.0, style_text="我很生气"
    )
    samples, rate = speak(engine, request)
    assert rate == 44100

    voice = engine.load()
    assert voice.config.variant.name == "extra-fix"
    (utterance,) = text.analyse(request.text)
    tokens = tokenise(utterance, add_blank=True)
    assert len(tokens.phones) == 2 * len(utterance.phones) + 1 == sum(tokens.word2ph)
    feature = engine.features.bert(utterance.text, tokens.word2ph, 2048, request.style_text, request.style_weight)
    files, length = engine.files(), len(tokens.phones)
    network, _ = load_checkpoint(files.weights, read_config(files.config))
    speaker, mask = voice.speaker("Bella"), shapes.mask(length, length)
    assert torch.equal(speaker[0, :, 0], network.emb_g.weight[1])
    ids = (torch.tensor([tokens.phones]), torch.tensor([tokens.tones]), torch.zeros(1, length, dtype=torch.long), mask)
    with torch.inference_mode():
        prior = network.encode(
            *ids,
            (feature[None],),
            engine.features.clap("happy")[None],
            speaker,
            shapes.noise(3, 0, 0, length, 2)[None] * request.noise_w,
            request.sdp_ratio,
        )
        durations = align(prior.log_durations, mask, request.length_scale)[0]
        frames = int(durations.sum())
        noise = shapes.noise(3, 0, 1, frames, network.config.inter_channels)
        z_p = sample_prior(prior.mean[0], prior.log_std[0], durations, noise, request.noise)[None]
        whole = network.dec(network.flow(z_p, shapes.mask(frames, frames), speaker), speaker)[0, 0].numpy()
    assert frames > max(engine.settings.windows)  # several windows, a padded flow
    inner = slice(round(0.003 * rate), -round(0.003 * rate))  # the ends are faded
    assert samples.shape == whole.shape
    assert np.abs(samples[inner] - whole[inner]).max() < 2e-5
    unstyled, _ = speak(engine, request.but(style_text=""))
    assert unstyled.shape != samples.shape or np.abs(unstyled - samples).max() > 1e-3


def test_missing_features_are_named_with_their_place(special, tmp_path):
    engine = Engine(
        special_settings(special, "bert_path=bert/Erlangshen-MegatronBert-1.3B-Chinese", "clap_path=no/clap")
    )
    with pytest.raises(MissingFiles, match=r"BERT.*vocab\.txt.*bert/Erlangshen-MegatronBert-1.3B-Chinese") as caught:
        next(engine.speak([SpeechRequest("你好")]))
    assert str(special) not in str(caught.value)  # no path of the server
    assert len(engine.voices()["owner"].missing) == 2
    narrow = writable_copy(golden() / "bert" / "megatron-tiny", tmp_path / "narrow")
    engine = Engine(special_settings(special, f"bert_path={narrow}"))
    with pytest.raises(MissingFiles, match="64 values a token and this voice takes 2048"):
        next(engine.speak([SpeechRequest("你好")]))
    engine = Engine(special_settings(special, "bert_path=no/bert", "clap_path=no/clap", "missing_features=zeros"))
    assert speak(engine, SpeechRequest("你好"))[0].size
    assert not engine.voices()["owner"].missing


def test_an_owner_s_config_names_the_default_voice(special):
    folder = special / "voices"
    overrides = ("dataset_path=voices/owner", "webui.model=models/G_100.pth", "webui.config_path=config.json")
    engine = Engine(special_settings(special, *overrides, f"voices=[{folder / 'none'}]"))
    assert engine.default_voice == "owner" and engine.voices()["owner"].speakers == ("甲一", "Bella", "丙")
    with pytest.raises(SpeechError, match=r"no file .*G_200\.pth"):
        Engine(special_settings(special, *overrides[:1], "webui.model=models/G_200.pth")).load()


def test_a_voice_that_cannot_be_used_does_not_hide_the_others(tmp_path):
    make_tiny_voice(tmp_path / "good")
    make_tiny_voice(tmp_path / "torn")
    (tmp_path / "torn" / "G.safetensors").write_bytes(b"\x00" * 20)
    engine = Engine(settings(tmp_path))
    assert engine.default_voice == "good"
    assert not engine.voices()["good"].missing
    assert "cannot be used" in engine.voices()["torn"].missing[0].say("en")
    with pytest.raises(SpeechError, match="refused"):
        engine.load("torn")
    with pytest.raises(SpeechError, match="There is no voice in"):
        Engine(settings(tmp_path, f"voices=[{tmp_path / 'empty'}]"))


def test_windows_too_small_for_a_voice_are_a_sentence(special):
    for sizes, message in (
        ("[4, 64]", "4 frames are too few for the voice 'owner'; every size must be above 4"),
        ("[5, 22]", "22 frames are too few for the voice 'owner'; the largest size must be above 22"),
    ):
        engine = Engine(special_settings(special, f"windows={sizes}"))
        with pytest.raises(SpeechError, match=message):
            engine.load()


def test_a_device_that_is_not_here_falls_back_aloud():
    from infer.engine import devices

    chosen = devices.choose("cuda:9")
    assert "cuda:9" in str(chosen.note) and chosen.torch.type in devices.available()[0]
    assert devices.choose("cpu", half=True).dtype == torch.float32
    assert "fp16_run" in str(devices.choose("cpu", half=True).note)
    assert "int8_run" in str(devices.choose("cpu", eight_bit=True).note)
    assert devices.choose("cpu").note is None


def test_blanks_are_shared_between_neighbours():
    (utterance,) = text.analyse("好。")
    durations = [2, 4, 2, 6, 4, 8, 2, 4, 2, 4, 2]  # _ h ao . _ with blanks around each
    phones, characters = times(utterance, durations, True, 0.5)
    assert [p.text for p in phones] == ["_", "h", "ao", ".", "_"]
    assert [(p.start, p.end) for p in phones] == [(0, 3.5), (3.5, 8), (8, 13.5), (13.5, 16.5), (16.5, 20)]
    assert [(c.text, c.start, c.end) for c in characters] == [("好", 3.5, 13.5), (".", 13.5, 16.5)]


@pytest.mark.parametrize("format", audio.FORMATS)
def test_files_hold_the_sound_and_its_recipe(format):
    request = SpeechRequest("你好，世界。", seed=9, emotion="温柔地", speed=1.25)
    seconds = np.arange(11025) / 22050
    ends = np.minimum(1, (0.5 - seconds) / 0.02)  # as speech does: opus overshoots where a tone is cut off
    samples = (0.5 * ends * np.sin(2 * np.pi * 220 * seconds)).astype(np.float32)
    content = audio.encode(samples, 22050, format, request)
    back, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    assert rate == audio.file_rate(format, 22050) == (24000 if format == "opus" else 22050)
    if format in ("wav", "flac"):
        assert np.abs(back - samples).max() < 1 / 32767
        assert audio.encode(samples, 22050, format, request) == content
    else:
        assert abs(len(back) / rate - 0.5) < 0.14 and 0.3 < np.abs(back).max() < 0.7
    spectrum = np.abs(np.fft.rfft(back * np.hanning(len(back)), 2**16))
    assert spectrum.argmax() * rate / 2**16 == pytest.approx(220, abs=2), "neither faster nor slower than it was"
    assert audio.recipe(io.BytesIO(content)) == request


@pytest.mark.parametrize("format", audio.FORMATS)
@pytest.mark.parametrize("text", ["好", "春天来了，小河解冻了。" * 450])
def test_the_beginning_of_a_file_tells_its_recipe(format, text, tmp_path):
    request = SpeechRequest(text, seed=9)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 22050 * 20).astype(np.float32)
    content = audio.encode(noise, 22050, format, request)
    assert len(content) > 60_000
    part = content[: len(content) // 2 + 1]
    assert audio.recipe(io.BytesIO(part)) == request
    (tmp_path / "part").write_bytes(part)
    assert audio.recipe(tmp_path / "part") == request


@pytest.mark.parametrize("format", audio.FORMATS)
def test_a_recipe_without_room_leaves_the_file_whole(format):
    characters = np.random.default_rng(0).integers(0x4E00, 0x9FA6, 100_000)
    for count, held in ((12_000, True), (100_000, format not in ("wav", "opus"))):
        request = SpeechRequest("".join(map(chr, characters[:count])))
        content = audio.encode(np.full(22050, 0.25, np.float32), 22050, format, request)
        assert soundfile.info(io.BytesIO(content)).duration == pytest.approx(1, abs=0.1)
        assert audio.recipe(io.BytesIO(content)) == (request if held else None)


def test_metadata_of_a_stranger_is_no_recipe():
    bomb = audio.PACKED + base64.b64encode(zlib.compress(b'{"text": "' + b"a" * 20_000_000 + b'"}')).decode()
    for comment in (" ", "made by hand", "[1]", '{"texts": 1}', "zlib:????", "zlib:AAAA", bomb, "[" * 40_000):
        buffer = io.BytesIO()
        with soundfile.SoundFile(buffer, "w", 22050, 1, "PCM_16", format="FLAC") as file:
            file.comment = comment
            file.write(np.zeros(100, np.int16))
        assert audio.recipe(io.BytesIO(buffer.getvalue())) is None


def test_an_unknown_format_is_refused():
    with pytest.raises(BadRequest, match="wav, flac, mp3, ogg, opus"):
        audio.encode(np.zeros(10, np.float32), 22050, "exe")


def test_readings_of_the_request_win_over_the_glossary_s_file(tmp_path):
    make_tiny_voice(tmp_path / "voices" / "tiny")
    engine = Engine(settings(tmp_path / "voices", f"glossary={tmp_path / 'words.txt'}"))

    def spoken(**options):
        return [c.spoken for p in engine.speak([SpeechRequest("单家重庆", **options)]) for c in p.utterance.chars][:4]

    assert spoken()[2:] == ["chong2", "qing4"]
    (tmp_path / "words.txt").write_text("# ours\n单 shan4\n重庆 zhong4 qing4\n", encoding="utf-8")
    assert spoken() == ["shan4", "jia1", "zhong4", "qing4"]
    assert spoken(readings="重庆=chong2 qing4")[2:] == ["chong2", "qing4"]
    with pytest.raises(BadRequest, match=r"重庆 zhong4.*2 characters need 2 syllables"):
        spoken(readings="重庆 zhong4")
    (tmp_path / "words.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRequest, match="cannot be read"):
        spoken()


def test_bert_reads_a_homophone_of_an_unusual_reading_and_nothing_else_changes(special, monkeypatch):
    engine = Engine(special_settings(special))
    seen = []
    real = engine.features.bert
    monkeypatch.setattr(engine.features, "bert", lambda text, *rest: seen.append(text) or real(text, *rest))
    plain = next(iter(engine.speak([SpeechRequest("他去银行取钱。")]))).utterance
    settled = next(iter(engine.speak([SpeechRequest("他去银行[xing2]取钱。")]))).utterance
    assert seen == ["他去银行取钱.", "他去银型取钱."]
    assert (settled.text, settled.word2ph) == (plain.text, plain.word2ph)
    assert [i for i, (a, b) in enumerate(zip(settled.phones, plain.phones, strict=True)) if a != b] == [7, 8]


def test_speakers_mix_linearly(tiny):
    voice = tiny.load()
    first, second = voice.speaker("甲"), voice.speaker("乙")
    assert torch.allclose(voice.speaker("甲(2)+乙(1)"), (2 * first + second) / 3, atol=1e-6)
    assert torch.allclose(voice.speaker("甲＋乙（1.0）"), (first + second) / 2, atol=1e-6)
    assert torch.equal(voice.speaker("甲(3)"), first)
    request = SpeechRequest("你好", speaker="甲(2)+乙(1)")
    assert not np.array_equal(speak(tiny, request)[0], speak(tiny, request.but(speaker="甲"))[0])
    for wanted, complaint in (
        ("甲+丙", "no speaker '丙'"),
        ("甲(0)", "add up to nothing"),
        ("甲++乙", "cannot be read"),
    ):
        with pytest.raises(BadRequest, match=complaint):
            voice.speaker(wanted)


def test_emotions_blend_and_fade(tiny):
    voice = tiny.load()

    def weights(**options):
        value, notices = voice.emotion(SpeechRequest("好", **options), tiny.features)
        assert not notices
        return value[0].tolist()

    assert weights(emotion="happy", emotion_b="sad", emotion_mix=0.25) == pytest.approx([0, 0.75, 0.25, 0])
    assert weights(emotion="happy", emotion_strength=0.5) == pytest.approx([0.5, 0.5, 0, 0])
    assert weights(emotion="happy", emotion_strength=1.5) == pytest.approx([-0.5, 1.5, 0, 0])
    assert weights(emotion="happy", emotion_strength=0) == pytest.approx([1, 0, 0, 0])
    _, notices = voice.emotion(SpeechRequest("好", emotion_audio=b"x"), tiny.features)
    assert "sample of sound" in str(notices[0])


def sound(seconds: float, rate: int, channels: int, format: str) -> bytes:
    samples = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format)
    return buffer.getvalue()


def test_an_emotion_is_taken_from_any_sound_file_and_blends_with_words(special):
    engine = Engine(special_settings(special))
    voice = engine.load()

    def vector(**options):
        value, notices = voice.emotion(SpeechRequest("好", **options), engine.features)
        assert not notices and value.shape == (1, 512)
        return value[0]

    words = vector(emotion="happy")
    for clip in (sound(1.5, 22050, 2, "WAV"), sound(12, 16000, 1, "FLAC"), sound(2, 44100, 1, "OGG")):
        heard = vector(emotion="happy", emotion_audio=clip)
        assert heard.norm() == pytest.approx(1, abs=1e-5) and not torch.allclose(heard, words, atol=1e-3)
        assert torch.equal(heard, vector(emotion_audio=clip))  # crops of long clips are seeded
    between = vector(emotion="happy", emotion_b="sad", emotion_mix=0.5)
    assert torch.allclose(between, torch.nn.functional.normalize(words + vector(emotion="sad"), dim=0), atol=1e-5)
    assert torch.allclose(vector(emotion="happy", emotion_strength=0), vector(emotion="neutral"), atol=1e-5)
    silence = io.BytesIO()
    soundfile.write(silence, np.zeros(1000), 8000, format="WAV")
    for data, complaint in ((b"no sound at all", "cannot be read"), (silence.getvalue(), "holds no sound")):
        with pytest.raises(BadRequest, match=complaint):
            vector(emotion_audio=data)


def test_voices_come_and_go_without_a_restart(tmp_path):
    make_tiny_voice(tmp_path / "a")
    engine = Engine(settings(tmp_path, "cache_path="))
    before = speak(engine, SpeechRequest("你好", voice="a"))[0]
    make_tiny_voice(tmp_path / "b", seed=1)
    assert list(engine.voices()) == ["a", "b"]
    other = speak(engine, SpeechRequest("你好", voice="b"))[0]
    assert not np.array_equal(before, other)
    make_tiny_voice(tmp_path / "a", seed=1)  # retrained: the same name, other weights
    assert np.array_equal(speak(engine, SpeechRequest("你好", voice="a"))[0], other)
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(BadRequest, match="no voice 'b'; there are a"):
        engine.load("b")
    with pytest.raises(BadRequest, match="no voice"):
        engine.load("../a")


def test_the_voice_used_longest_ago_makes_room(tmp_path):
    for name in "abc":
        make_tiny_voice(tmp_path / name)
    size = Engine(settings(tmp_path, "cache_path=")).load("a").size
    engine = Engine(settings(tmp_path, f"voices_mb={max(1, round(2.5 * size / 1e6))}"))
    assert 2 * size < engine.settings.voices_mb * 1e6 < 3 * size
    first = engine.load("a")
    engine.load("b")
    assert engine.load("a") is first
    engine.load("c")
    assert engine.memory() < 3 * size
    assert engine.load("a") is first


def test_g2pw_is_asked_where_its_folder_is_and_a_broken_one_is_named(tmp_path):
    make_tiny_voice(tmp_path / "voices" / "tiny")
    folder = tmp_path / "G2PWModel"
    folder.mkdir()
    engine = Engine(settings(tmp_path / "voices", f"g2pw_path={folder}"))
    assert engine.reader.__wrapped__ is text.read  # not complete: the built-in reader
    for name in text.g2pw.FILES:
        (folder / name).write_bytes(b"no network, no table")
    engine = Engine(settings(tmp_path / "voices", f"g2pw_path={folder}"))
    with pytest.raises(MissingFiles, match=r"g2pW .* cannot be used") as caught:
        speak(engine, SpeechRequest("银行"))
    assert "python -m infer.models g2pw" in str(caught.value)
