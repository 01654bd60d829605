"""Stage 3: the decoder learns what the text side really gives it. `python -m train.finetune --resume`

The text side is frozen; its latents (with the prior's noise, at a random scale) are made once for part of the data.
Log magnitudes and mels are compared, initials counting more, how loud the frames are, and what the ear (ear.py) hears.
Every other batch has the teacher's pitch, so that high harmonics stand where they do in its wave.
"""

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.synthesizer import Synthesizer
from train.common import Utterance, corpus, network, speakers
from train.decoder import FRAMES, MEL, segments, sound
from train.ear import Ear, ear_losses
from train.features import PITCH_SLICE, scale_mel
from train.loop import Run, adam, stage_options, warm_up
from train.losses import cut, level_loss, log_mels, mel_loss, stft_loss
from train.prosody import collate, encode, predict, text_side

NOISE = (0.0, 1.0)  # scales of the prior's noise
# Of log magnitudes, mels, how loud the frames are, what the ear hears and the phones it takes it for.
WEIGHTS = {"stft": 1.0, "mel": MEL, "level": 0.5, "heard": 2.0, "misheard": 0.2}


@torch.inference_mode()
def predicted(net: Synthesizer, data: list[Utterance], device: torch.device) -> list[np.ndarray]:
    """The text side's latents at the teacher's durations: [C, F] float16 each."""
    out = {}
    order = sorted(range(len(data)), key=lambda i: data[i].item.frames)
    for i in tqdm(range(0, len(order), 8), desc="latents", mininterval=10):
        rows = order[i : i + 8]
        torch.manual_seed(i)
        batch = collate([data[k] for k in rows]).to(device)
        speaker = speakers(net, batch.speaker)
        _, mean, _ = encode(net, batch, speaker)
        z = predict(net, mean, batch, speaker, NOISE[0] + (NOISE[1] - NOISE[0]) * torch.rand(()).item())
        for k, row in zip(rows, z.cpu(), strict=True):
            out[k] = row[:, : data[k].item.frames].numpy().astype(np.float16)
    return [out[k] for k in range(len(data))]


def main() -> None:
    sizes = {"steps": 4_000, "batch": 8, "lr": 5e-4, "share": 0.4, "seed": 0}
    args = stage_options(__doc__, "finetune.pt", True, **sizes, prosody=None, decoder=None)
    net = network(args)
    before = args.decoder or args.runs / "decoder.pt"
    run = Run(args, {"dec": net.dec}, adam(net.dec, args.lr), decay=0.998, before=before)
    text_side(net, args)
    ear = Ear.load(args.runs / "ear.pt").to(args.device)
    rng = np.random.default_rng([99, args.seed])
    data = [
        u for u in corpus("train", args.runs / "data") if FRAMES <= u.item.frames <= 800 and rng.random() < args.share
    ]
    latents = predicted(net, data, args.device)

    def learn(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        rng = np.random.default_rng([step, args.seed])
        (latent, teacher, noise, who, phones, heavy), real = segments(data, latents, rng, args.batch, args.device)
        if step % 2:
            latent[:, PITCH_SLICE] = teacher[:, PITCH_SLICE]
        fake = cut(sound(net, latent, noise, who))
        mels, real_mels = log_mels(fake), log_mels(real)
        heard, misheard = ear_losses(ear, scale_mel(mels), scale_mel(real_mels), phones)
        figures = {
            "stft": stft_loss(fake, real, heavy),
            "mel": mel_loss(mels, real_mels, heavy),
            "level": level_loss(mels, real_mels),
            "heard": heard,
            "misheard": misheard,
        }
        return torch.stack([weight * figures[name] for name, weight in WEIGHTS.items()]).sum(), figures

    run.loop(learn, warm_up(args))


if __name__ == "__main__":
    main()
