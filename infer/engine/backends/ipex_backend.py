"""Intel Extension for PyTorch 2.8, its last release, with torch 2.8: an environment of its own (make test-ipex)."""

import torch

from infer.engine.backends.torch_backend import TorchBackend
from infer.engine.devices import Device
from infer.request import SpeechError
from models import Synthesizer


class IpexBackend(TorchBackend):
    """Its convolutions in the decoder alone: in the flow its optimize() is slower than plain torch."""

    flattens = False  # the extension knows torch's own layers alone

    def __init__(self, network: Synthesizer, device: Device) -> None:
        """Raises SpeechError when the package is missing or does not fit this torch."""
        try:
            import intel_extension_for_pytorch as ipex
        except (ImportError, OSError, SystemExit) as error:
            raise SpeechError("engine.no_ipex", version=torch.__version__) from error
        super().__init__(network, device)
        # Folding would trace the decoder into a graph that has forward() alone, and there is no batch norm to fold.
        options = {"inplace": True, "conv_bn_folding": False, "linear_bn_folding": False}
        self.network.dec = ipex.optimize(self.network.dec.eval(), dtype=device.dtype, **options)
