"""The teacher: espeak-ng's Mandarin through its C library, asked by pinyin.

espeak-ng is GPL-3+. It is a program of the development machine: this module loads the system's library at run
time to make training audio; nothing of it is shipped, and nothing outside train/ imports this.
"""

import ctypes
import ctypes.util
import shutil
from dataclasses import dataclass, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np

VOICE = "cmn-latn-pinyin"
SYNCHRONOUS, PHONEME_EVENTS = 2, 1
UTF8, SSML = 1, 0x10  # flags of a synthesis
PHONEME = 7
KINDS = {1: "word", PHONEME: "phoneme"}  # by type of event
PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}  # of Style


class _Event(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in "type identifier text_position length audio_position sample".split()),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),  # of a phoneme; in others a number or a pointer
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Style:
    """espeak-ng's four sliders."""

    rate: int  # words a minute
    pitch: int  # 0-99
    range: int  # of pitch, 0-100
    volume: int  # 100 or more clips


@dataclass(frozen=True)
class Event:
    kind: str  # "word" or "phoneme"
    sample: int
    name: str  # the phoneme's name; "" for a word


class Teacher:
    """One process-wide espeak-ng with its own variants (the library has one global state)."""

    def __init__(self, folder: Path, variants: dict[str, str]) -> None:
        """folder: where the private data directory is made; variants: name -> text of a variant file."""
        library = ctypes.util.find_library("espeak-ng")
        if library is None:
            raise RuntimeError("espeak-ng's library was not found; install the Debian package libespeak-ng1")
        self._lib = ctypes.CDLL(library)
        data = _private_data(self._lib, folder, variants)
        self.sample_rate = self._lib.espeak_Initialize(SYNCHRONOUS, 0, str(data.parent).encode(), PHONEME_EVENTS)
        if self.sample_rate <= 0:
            raise RuntimeError(f"espeak-ng did not start with the data in {data}; install espeak-ng-data")
        self._samples: list[np.ndarray] = []
        self._events: list[Event] = []
        self._callback = _Callback(self._receive)  # kept: the library holds only a pointer
        self._lib.espeak_SetSynthCallback(self._callback)

    def _receive(self, wav: Any, samples: int, events: Any) -> int:
        """espeak-ng calls it with a piece of sound and what happens in it."""
        if wav and samples:
            self._samples.append(np.ctypeslib.as_array(wav, shape=(samples,)).copy())
        for event in takewhile(lambda event: event.type, (events[i] for i in count())):
            if event.type in KINDS:
                name = event.name.decode("utf-8", "replace") if event.type == PHONEME else ""
                self._events.append(Event(KINDS[event.type], event.sample, name))
        return 0

    def say(self, pinyin: str, variant: str, style: Style) -> tuple[np.ndarray, list[Event]]:
        """-> samples int16 and the events in order of time.

        pinyin may hold SSML's <prosody pitch="…">. espeak-ng puts some zeros into the sound where such an element
        starts or ends, between two words that would touch; they are taken out again.
        """
        if self._lib.espeak_SetVoiceByName(f"{VOICE}+{variant}".encode()) != 0:
            raise RuntimeError(f"espeak-ng does not know the voice {VOICE}+{variant}")
        for name, parameter in PARAMETERS.items():
            self._lib.espeak_SetParameter(parameter, getattr(style, name), 0)
        self._samples, self._events = [], []
        text = pinyin.encode()
        self._lib.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, UTF8 | SSML, None, None)
        self._lib.espeak_Synchronize()
        samples = np.concatenate(self._samples) if self._samples else np.zeros(0, np.int16)
        return without_gaps(samples, self._events)


def without_gaps(samples: np.ndarray, events: list[Event]) -> tuple[np.ndarray, list[Event]]:
    """Zeros between the end of a word and what follows at once are no pause of the teacher's."""
    keep, moved, gone = np.ones(len(samples), bool), [], 0
    for event, following in zip(events, [*events[1:], *events[-1:]], strict=True):
        moved.append(replace(event, sample=event.sample - gone))
        between = slice(event.sample, following.sample)
        if event.name == "_|" and not samples[between].any():
            keep[between] = False
            gone += len(samples[between])
    return samples[keep], moved


def _private_data(library: ctypes.CDLL, folder: Path, variants: dict[str, str]) -> Path:
    """espeak-ng-data with our variants in voices/!v: links to the system's files, no copy of them."""
    library.espeak_Info.restype = ctypes.c_char_p
    where = ctypes.c_char_p()
    library.espeak_Info(ctypes.byref(where))
    usual = [*Path("/usr/lib").glob("*/espeak-ng-data"), Path("/usr/share/espeak-ng-data")]
    places = (place for place in (Path((where.value or b"").decode()), *usual) if (place / "phontab").exists())
    if not (system := next(places, None)):
        raise RuntimeError("espeak-ng-data was not found; install the Debian package espeak-ng-data")
    data = folder.resolve() / "espeak-ng-data"
    shutil.rmtree(data, ignore_errors=True)
    (data / "voices" / "!v").mkdir(parents=True)
    for entry in system.iterdir():
        if entry.name != "voices":
            (data / entry.name).symlink_to(entry)
    for name, text in variants.items():
        (data / "voices" / "!v" / name).write_text(text)
    return data
