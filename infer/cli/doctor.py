"""Can this checkpoint speak here?  python -m infer.doctor G_8000.pth [--convert voice/G.safetensors [--fp16] [--force]]

The doctor's report, and which of the model files that the voice needs are missing here. Exit code 0 when it can speak
(or was converted), 1 when it cannot.
"""

import argparse
from pathlib import Path

from safetensors.torch import save_file

from infer import files
from infer.cli import Parser, exit_code, local, settings_of
from infer.engine import devices
from infer.engine.voice import Features
from infer.request import BadRequest
from models.checkpoint import find_config, load_checkpoint, read_config, speaking_tensors
from models.checkpoint.doctor import examine
from words import message


def convert(path: Path, target: Path, config_file: Path | None = None, half: bool = False, force: bool = False) -> None:
    """Write what speaking needs as safetensors, under the release's own names, and config.json beside it.

    half: float16, but for the code books, where rounding could choose another code. force: write over what is there.
    The new file is read back before it gets its name. Raises CheckpointError, SpeechError; then nothing is written.
    """
    if target.suffix != ".safetensors":
        raise BadRequest("checkpoint.convert_name", name=target.name)
    source_config, config_target = config_file or find_config(path), target.parent / "config.json"
    config = read_config(source_config)
    content = source_config.read_bytes()
    if target.exists() and (not force or target.samefile(path)):
        raise BadRequest("checkpoint.convert_there", name=target.name)
    if config_target.exists() and config_target.read_bytes() != content and not force:
        raise BadRequest("checkpoint.convert_config", name=target.name)
    load_checkpoint(path, config)
    tensors = speaking_tensors(path, half)
    with files.writing(target), files.whole(target, path.stat().st_mode & 0o666) as part:
        save_file(tensors, part, metadata={"format": "pt"})
        load_checkpoint(part, config)
    files.write_whole(config_target, content)


def parser() -> Parser:
    result = Parser("python -m infer.doctor", message("cli.doctor"))
    result.flag("file", message("cli.checkpoint"), type=Path)
    result.flag("--config-json", message("cli.config_json"), type=Path)
    result.flag("--convert", message("cli.convert"), type=Path, metavar="OUT.safetensors")
    result.flag("--fp16", message("cli.fp16"), action="store_true")
    result.flag("--force", message("cli.force"), action="store_true")
    return result


def run(arguments: argparse.Namespace) -> int:
    if (arguments.fp16 or arguments.force) and not arguments.convert:
        raise BadRequest("cli.convert_only")
    settings = settings_of(arguments)
    result = examine(arguments.file, arguments.config_json)
    variant = result.variant if result.usable else None
    missing = Features(settings, devices.choose("cpu")).missing(variant) if variant else []
    print(result.text())
    for sentence in missing:
        print(local(message("cli.model_missing", cause=sentence)))
    if not arguments.convert:
        return 0 if result.usable and not missing else 1
    convert(arguments.file, arguments.convert, arguments.config_json, arguments.fp16, arguments.force)
    print(local(message("cli.written", file=arguments.convert, size=arguments.convert.stat().st_size / 1e6)))
    return 0


def main(argv: list[str] | None = None) -> int:
    return exit_code(lambda: run(parser().parse_args(argv)))
