"""Weights in a pytorch_model.bin -> safetensors, bit for bit, with nothing in the file run."""

import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from infer.files import settle
from infer.hub import FetchError

Progress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all


def convert(source: Path, target: Path, notes: Mapping[str, str], progress: Progress = lambda *_: None) -> None:
    """Write the tensors of `source` as `target`, with notes beside them.

    Tensors are read and written through memory maps, so the memory it takes does not grow with the file (files of
    before torch 1.6 cannot be mapped and are read whole). Tensors that share memory become independent.
    Raises FetchError for a file that is anything but a table of tensors.
    """
    part, label = target.with_name(f"{target.name}.part"), f"{target.name} (converting)"
    try:
        import torch
        from safetensors.torch import save_file

        table = torch.load(source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source))
        tensors = {name: tensor.detach() for name, tensor in table.items()}
        total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if not tensors or total > 2 * source.stat().st_size:  # strides of 0 make a terabyte of one number
            raise ValueError(f"{len(tensors)} tensors of {total} bytes in {source.stat().st_size}")
        storages = set()
        for name, tensor in tensors.items():
            storage = tensor.untyped_storage().data_ptr()
            if storage in storages or not tensor.is_contiguous():
                tensors[name] = tensor.clone(memory_format=torch.contiguous_format)
            storages.add(storage)
        progress(label, 0, total)
        save_file(tensors, part, metadata={"format": "pt", **notes})
        shutil.copymode(source, part)  # safetensors makes files that only their owner can read
        settle(part, target)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # the unpickler, the zip reader and safetensors each have errors of their own
        reason = " ".join(str(error).split())[:120]
        raise FetchError("hub.no_tensors", name=source.name, reason=reason) from error
    finally:
        part.unlink(missing_ok=True)
    progress(label, total, total)
