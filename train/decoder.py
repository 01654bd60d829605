"""Stage 1: the decoder on the teacher's latents. `python -m train.decoder --resume`"""

import numpy as np
import torch
from torch import Tensor, nn

from models.filter import Filter
from models.source import excite
from models.synthesizer import Synthesizer
from train.common import Utterance, corpus, initials, network, speakers
from train.ear import frame_labels
from train.features import HOP
from train.loop import Run, adam, stage_options, warm_up
from train.losses import EDGE, cut, cut_at, log_mels, mel_loss, stft_loss

FRAMES = 40  # of a training segment
MEL = 2.0  # weight of the mels' distance, beside that of short spectra
INITIALS = 3.0  # what a frame of an initial counts: they are short, and most of what is misheard
QUIET = (-1.5, -5.0)  # log magnitudes of pulses and noise that training begins with


def sound(net: Synthesizer, latent: Tensor, noise: Tensor, who: Tensor) -> Tensor:
    """Latent [B, C, F], noise [B, HOP, F], speakers [B] -> wave [B, F * HOP]."""
    assert net.config.pitch
    given = excite(latent, noise, net.config.pitch, net.config.sampling_rate)
    return net.dec(given, speakers(net, who)).flatten(1)


def windows(u: Utterance, start: int) -> list[np.ndarray]:
    """The teacher's wave under a segment's frames, as losses.cut() has the decoder's."""
    return cut_at(u.wav / np.float32(32768), u.sample(start + np.arange(FRAMES * HOP) / HOP))


def segments(
    data: list[Utterance], latents: list[np.ndarray] | None, rng: np.random.Generator, size: int, device: torch.device
) -> tuple[list[Tensor], list[Tensor]]:
    """Random ones of `size` utterances; latents: [C, F] of each, or else the teacher's.

    -> latent and the teacher's [B, C, F], noise [B, HOP, F], speaker [B], inside the edges phones and weights [B, F];
    windows of the teacher's wave.
    """
    rows = []
    for k in rng.integers(len(data), size=size):
        u, start = data[k], rng.integers(data[k].item.frames - FRAMES + 1)
        segment, inside = slice(start, start + FRAMES), slice(start + EDGE, start + FRAMES - EDGE)
        teacher = u.latent[segment].T.astype(np.float32)
        latent = latents[k][:, segment].astype(np.float32) if latents else teacher
        noise = rng.standard_normal((HOP, FRAMES), np.float32)
        heavy = np.repeat(np.where(initials(u.tones), INITIALS, 1).astype(np.float32), u.durations.numpy())
        who = np.array(u.item.speaker)
        rows.append((latent, teacher, noise, who, frame_labels(u)[inside], heavy[inside], *windows(u, start)))
    parts = [torch.from_numpy(np.stack(column)).to(device) for column in zip(*rows, strict=True)]
    return parts[:6], parts[6:]


@torch.no_grad()
def level(dec: nn.Module) -> None:
    """Begin with filters that are flat and about as loud as speech."""
    assert isinstance(dec, Filter) and dec.conv_post.bias is not None
    dec.conv_post.weight.mul_(0.1)
    level = torch.cat([torch.full((bins,), quiet) for bins, quiet in zip(dec.bins, QUIET, strict=True)])
    dec.conv_post.bias.copy_(level.repeat(dec.rates[0]))


def main() -> None:
    args = stage_options(__doc__, "decoder.pt", steps=4_000, batch=8, lr=1e-3)
    net = network(args)
    data = [u for u in corpus("train", args.runs / "data") if u.item.frames >= FRAMES]
    level(net.dec)

    def learn(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        (latent, _, noise, who, *_), real = segments(data, None, np.random.default_rng(step), args.batch, args.device)
        fake = cut(sound(net, latent, noise, who))
        magnitude, mel = stft_loss(fake, real), mel_loss(log_mels(fake), log_mels(real))
        return magnitude + MEL * mel, {"magnitude": magnitude, "mel": mel}

    Run(args, {"dec": net.dec}, adam(net.dec, args.lr), decay=0.998).loop(learn, warm_up(args))


if __name__ == "__main__":
    main()
