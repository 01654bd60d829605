"""onnxruntime on the CPU: blocked convolutions near the speed of a matrix product, and any length at once."""

from pathlib import Path

import numpy as np
import onnxruntime

from infer.engine.backends.exported import ExportedBackend
from models import Synthesizer


class OnnxBackend(ExportedBackend):
    """See ExportedBackend."""

    def __init__(self, network: Synthesizer, store: Path | None, multiple: int, threads: int) -> None:
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.log_severity_level = 3
        self._options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting costs no CPU time
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        super().__init__(network, store, multiple)

    def _load(self, part: str, model: bytes) -> None:
        self._sessions[part] = onnxruntime.InferenceSession(model, self._options, providers=["CPUExecutionProvider"])

    def _run(self, part: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self._sessions[part].run(None, inputs)
