"""What decodes a stranger's sound, in a process of its own: whatever goes wrong in a decoder ends there.

file on stdin -> rate and channels as 32-bit numbers, then mono float32. clips.py runs `main` under limits. This imports
numpy and soundfile alone, which costs 0.15 s of a CPU.
"""

import io
import struct
import sys
from collections.abc import Iterator

import numpy as np
import soundfile

SECONDS = 60  # of a clip; what comes later is not heard
RATES = 8_000, 192_000  # Hz
CHANNELS = 8
BLOCK = 65_536  # frames read at once: a file of silence in many channels is gigabytes as a whole
SUBTYPES = {  # libsndfile's format -> what may be in it
    "FLAC": ("PCM_S8", "PCM_16", "PCM_24"),
    "OGG": ("VORBIS", "OPUS"),
    "MP3": ("MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"),
}


def bounded(rate: int, channels: int) -> bool:
    return RATES[0] <= rate <= RATES[1] and 1 <= channels <= CHANNELS


def mixed(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """The first SECONDS of an open file in mono float32, block by block.

    The bound is counted in frames that came: what a header says of the length is a claim, and some decoders go on
    giving frames when the data has ended.
    """
    left = SECONDS * file.samplerate
    while left > 0 and len(block := file.read(min(left, BLOCK), dtype="float32", always_2d=True)):
        left -= len(block)
        yield block.mean(axis=1)


def main() -> None:
    with soundfile.SoundFile(io.BytesIO(sys.stdin.buffer.read())) as file:
        if file.subtype not in SUBTYPES.get(file.format, ()):
            raise SystemExit(1)
        sys.stdout.buffer.write(struct.pack("<2I", file.samplerate, file.channels))
        if bounded(file.samplerate, file.channels):
            heard = False
            try:
                for block in mixed(file):
                    sys.stdout.buffer.write(block.tobytes())
                    heard = True
            except soundfile.LibsndfileError:  # cut off, as a long file is on the command line, or damaged
                if not heard:
                    raise
