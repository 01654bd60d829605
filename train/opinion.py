"""What two estimators of mean opinion scores make of a sound, 1 (bad) to 5: DistillMOS and DNSMOS's OVRL.

They were trained on other languages, and on noise and codecs more than on synthesis: good for comparisons, and deaf to
what is said and in which tones. `pip install --no-deps distillmos xls-r-sqa speechmos` (MIT): all weights are inside.
"""

import sys
from importlib.resources import files
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import torch

RATE = 16_000
PEAK = 0.7
WINDOW = int(9.01 * RATE)  # samples that DNSMOS takes
OVRL = (-0.06766283, 1.11546468, 0.04602535)  # DNSMOS's polynomial from the network's third number to the score


def distillmos() -> torch.nn.Module:
    """The network. The package imports torchaudio for reading files only, which is not needed here."""
    stands_in = "torchaudio" not in sys.modules and find_spec("torchaudio") is None
    if stands_in:
        sys.modules["torchaudio"] = ModuleType("torchaudio")
    try:
        from distillmos.sqa import DEFAULT_WEIGHTS_CHKPT, ConvTransformerSQAModel
    finally:
        if stands_in:
            del sys.modules["torchaudio"]
    net = ConvTransformerSQAModel(load_weights=False)
    net.load_state_dict(torch.load(DEFAULT_WEIGHTS_CHKPT, map_location="cpu", weights_only=True)["model"])
    return net.eval()


class Opinion:
    """Both estimators, one thread. Raises ModuleNotFoundError if the packages are not there."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.distill = distillmos()
        model = files("speechmos").joinpath("dnsmos_models", "sig_bak_ovr.onnx")
        self.noise = onnxruntime.InferenceSession(str(model), options)

    def __call__(self, wav: np.ndarray, rate: int) -> tuple[float, float]:
        """float samples -> DistillMOS, DNSMOS OVRL."""
        import librosa

        wav = librosa.resample(wav, orig_sr=rate, target_sr=RATE).astype(np.float32)
        wav *= PEAK / max(np.abs(wav).max(initial=0), 1e-6)
        with torch.inference_mode():
            quality = self.distill(torch.from_numpy(wav)[None]).item()
        repeated = np.tile(wav, -(-WINDOW // len(wav)))
        starts = range(0, max(1, len(repeated) - WINDOW + 1), RATE) if len(wav) > WINDOW else (0,)
        raw = [self.noise.run(None, {"input_1": repeated[None, s : s + WINDOW]})[0][0][2] for s in starts]
        return quality, float(np.mean(np.polyval(OVRL, raw)))
