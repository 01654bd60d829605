"""The checkpoint doctor's report as HTML, in both languages."""

import html
import re
from collections.abc import Sequence

from infer.files import bytes_in_words
from models.checkpoint.doctor import Report
from models.config import plain
from page import lines_html

MOST = 12  # names shown of a list

WORDS = {  # key -> Chinese, English
    "good": ("检查完毕，没有发现问题。", "Checked: nothing is wrong with it."),
    "lacking": (
        "文件没有问题，但还缺模型，暂时不能说话。",
        "The file is in order, but models are missing that it needs.",
    ),
    "bad": ("这个文件不能用。", "This file cannot be used."),
    "file": ("文件", "File"),
    "family": ("类型", "Family"),
    "taught": ("学过的语言", "Was taught"),
    "speaking": ("说话用", "For speaking"),
    "numbers": ("{0}，{1:,} 个参数（{2}）", "{0}, {1:,} numbers ({2})"),
    "training": ("只用于训练", "For training only"),
    "nothing": ("无", "nothing"),
    "sound": ("声音", "Sound"),
    "rate": ("每秒 {0:,} 个采样，每帧 {1} 个（{2:.1f} 毫秒）", "{0:,} samples a second, {1} a frame ({2:.1f} ms)"),
    "speakers": ("说话人", "Speakers"),
    "emotions": ("情感", "Emotions"),
    "own words": ("用自己的话描述", "in your own words"),
    "none": ("不能选", "none to choose"),
    "needs": ("还需要", "Needs"),
    "alone": ("不需要别的模型", "no other model"),
    "more": ("{0} 等 {2} 个", "{0} and {1} more"),
    "note": ("提示：", "Note: "),
    "problem": ("问题：", "Problem: "),
    "ja": ("日语前端（这里没有）", "a Japanese front end, which is not here"),
    "clap": ("CLAP（0.6 GB，理解情感描述）", "CLAP (0.6 GB), which reads the emotion you write"),
    "ZH": ("中文", "Chinese"),
    "JP": ("日语", "Japanese"),
    "EN": ("英语", "English"),
}
BERTS = {2048: "Erlangshen-MegatronBert-1.3B-Chinese (5 GB)", 1024: "chinese-roberta-wwm-ext-large (1.3 GB)"}

# The checkpoint's layer speaks English alone. What its commonest sentences mean; of any other the English is shown.
IN_CHINESE = (
    # how a family was found
    (
        r"variant in config\.json says so, and the inputs of (.+) fit",
        "config.json 里的 variant 如此指定，输入与 {0} 相符",
    ),
    (r"it has the inputs of (.+) and of no other family", "它的输入只与 {0} 相符"),
    (
        r"it has the inputs of (.+) and of no other family, although its config says version (.+)",
        "它的输入只与 {0} 相符，虽然 config.json 写的版本是 {1}",
    ),
    (
        r"it has the inputs of (.+), and its config says version (.+)",
        "它的输入与 {0} 相符，config.json 写的版本是 {1}",
    ),
    (
        r"it has the inputs of (.+); its codes have length 1, and .+ decides nothing",
        "它的输入与 {0} 相符；版本号不能说明问题，情感码的长度为 1，由此判断",
    ),
    (
        r"it has the inputs of (.+); its codes do not have length 1, and .+ decides nothing",
        "它的输入与 {0} 相符；版本号不能说明问题，情感码的长度不为 1，由此判断",
    ),
    (
        r"it has the inputs of (.+); .+ decides nothing, so the newest is taken",
        "它的输入与 {0} 相符；版本号不能说明问题，按其中最新的一类处理",
    ),
    # notes
    (
        r"Its config says version (.+), but its codes have length 1 as those of extra-fix do; .+",
        "config.json 写的版本是 {0}，但情感码的长度为 1，像 extra-fix；如果情感听起来不对，"
        '请在 config.json 里加上 "variant": "extra-fix"。',
    ),
    (
        r"The first release 2\.1 never saved its ten emotions, .+",
        "最早的 2.1 版没有保存十种情感，原程序每次启动都随机生成；这里始终是平静的语气。",
    ),
    (
        r"The names in data\.spk2id cannot be used, so the speakers are numbered; .+",
        "data.spk2id 里的名字不能用，说话人只好编号；请修改 config.json。",
    ),
    (
        r"(\d+) of the names in data\.spk2id belong to no speaker and are left out\.",
        "data.spk2id 里有 {0} 个名字不对应任何说话人，已略去。",
    ),
    (
        r"(\d+) of the names in data\.spk2id are long or cannot be shown as they are, and are shortened\.",
        "data.spk2id 里有 {0} 个名字过长或含有不能显示的字符，已改短。",
    ),
    # problems
    (
        r"(.+?)(?: was refused, since it)? is a Git LFS pointer, .+",
        "{0} 只是 Git LFS 的指针，不是真正的文件；请运行 git lfs pull，或直接下载这个文件。",
    ),
    (
        r"(.+?)(?: was refused, since it)? is a web page, .+",
        "{0} 是一个网页（例如下载时要求登录）；请重新下载文件本身。",
    ),
    (r"(.+) is (\S+) text and must be UTF-8: .+", "{0} 是 {1} 编码，应为 UTF-8；请用编辑器打开，另存为 UTF-8。"),
    (r"(.+) is no file but a folder or a device; .+", "{0} 不是文件，而是文件夹或设备；请放入原版的文件。"),
    (r"(.+) is a link that leads back to itself; .+", "{0} 是指向自己的链接；请放入原版的文件。"),
    (r"(.+) is far too large for a config\.json; .+", "{0} 太大，不是 config.json；请用原版的文件。"),
    (r"The checkpoint (.+) is a link to a file that does not exist; .+", "检查点 {0} 是一个链接，指向的文件不存在。"),
    (r"The checkpoint (.+) does not exist; .+", "检查点 {0} 不存在；请检查音色的文件夹。"),
    (
        r"config\.json describes (\d+) layers, more than the checkpoint's (\d+) tensors can hold; .+",
        "config.json 描述了 {0} 层，而检查点只有 {1} 个张量；请用与检查点配套的 config.json。",
    ),
    (
        r"config\.json: data\.n_speakers is 0, .+",
        "config.json 的 data.n_speakers 为 0：这个音色没有说话人，而是模仿录音，这里不支持；请换用有说话人的检查点。",
    ),
    (r"(?:It|(\S+)) lacks .+; it copies a recording .+", "它没有说话人，而是模仿录音，这里不支持；请换一个检查点。"),
    (
        r"(?:It|(\S+)) lacks .+; it has no speakers, .+",
        "它没有说话人（emb_g.weight），而音色至少要有一位；请用训练得到的完整 G_*.pth。",
    ),
    (r"There is no config\.json beside (.+); put .+", "{0} 旁边没有 config.json；请把原版的放进去。"),
    (r"(.+) is not valid JSON \((.+)\); get .+", "{0} 不是有效的 JSON（{1}）；请重新获取原版的文件。"),
    (r"(.+) must hold an object with train, data and model; .+", "{0} 里应有 train、data 与 model；请重新获取。"),
    (r"config\.json: the block '(.+)' is missing; .+", "config.json 缺少 {0} 一节；请用与检查点配套的 config.json。"),
    (
        r"config\.json: (.+) must be a whole number from 1 to (\d+), not (.+)\.",
        "config.json 的 {0} 应是 1 到 {1} 的整数，而不是 {2}。",
    ),
    (
        r"This is no Bert-VITS2 generator: it has no usable (\S+), but (.+); choose .+",
        "这不是 Bert-VITS2 的生成器：没有可用的 {0}，而是 {1}；请选 G_*.pth 文件。",
    ),
    (
        r"This checkpoint belongs to no known family; compared with (.+), the nearest, it (.+); known are (.+)\.",
        "认不出这个检查点的类型；与最接近的 {0} 相比，它 {1}；认得的有 {2}。",
    ),
    (r"It was taught Japanese alone, and .+", "它只学过日语，而这里只会读中文；请换一个音色。"),
    (r"It is a (.+) voice, which speaks Japanese alone, .+", "这是 {0} 音色，只会日语；请选用会中文的音色。"),
    (r"It lacks (.+); use .+", "它缺少 {0}；请用与检查点配套的 config.json，或重新获取检查点。"),
    (r"It has unknown (.+); use .+", "它多出 {0}；请用与检查点配套的 config.json。"),
    (
        r"It does not fit its config\.json: (.+); use the config\.json that belongs to this checkpoint, "
        r"or set (.+) there\.",
        "它与 config.json 不符：{0}；请用配套的 config.json，或在其中设置 {1}。",
    ),
    (r"It does not fit its config\.json: (.+); use .+", "它与 config.json 不符：{0}；请用配套的 config.json。"),
    (r"It holds something else than weights: (.+); use .+", "里面有不是权重的东西：{0}；请换一个检查点。"),
    (
        r"(.+) holds values in (.+) that are not finite numbers, .+",
        "{0} 的 {1} 里有无穷大或非数值，可能是训练失败；请换用更早的检查点。",
    ),
    (r"(.+) was refused, since it is empty; .+", "{0} 是空文件；请重新获取。"),
    (
        r"(.+) was refused, since it wants to run (.+?); .+",
        "{0} 想要运行 {1}，已拒绝，其中的代码没有执行；请换用 G_*.pth 或 G.safetensors。",
    ),
    (
        r"(.+) was refused, since it is neither safetensors nor .+",
        "{0} 既不是 safetensors，也不是 torch 1.6 以后保存的文件，已拒绝；"
        "请换用 G_*.pth 或 G.safetensors，或重新获取。",
    ),
    (
        r"(.+) was refused, since it is damaged \((.+)\); .+",
        "{0} 已损坏（{1}），没有读取；请重新获取。",
    ),
    (
        r"(.+) was refused, since it (ends before its numbers do|claims more (?:numbers )?than it holds|lacks numbers "
        r"that it claims to hold); .+",
        "{0} 不完整，没有读取；请重新获取。",
    ),
    (
        r"(.+) was refused, since it (.+); choose the generator's .+",
        "{0} 已拒绝（{1}）；请换用 G_*.pth 或 G.safetensors，或重新获取。",
    ),
    (r"(.+) cannot be read \((.+)\); check .+", "{0} 读不了（{1}）；请检查文件。"),
    # a voice's own sentence, with one of the above in it
    (r"音色 (.+) 不能用：(?:[^:： ]+: )?(.+)", "音色 {0} 不能用：{1}"),
)


LONGEST = 600  # characters of a sentence to translate: the patterns have several gaps, and a config can fill them


def in_words(sentence: str, language: int) -> str:
    """A sentence of the checkpoint's layer in the listener's language, where there is a translation."""
    if language or len(sentence) > LONGEST:
        return sentence
    for pattern, chinese in IN_CHINESE:
        if match := re.fullmatch(pattern, sentence, re.DOTALL):
            return chinese.format(*(_names(in_words(part or "", language)) for part in match.groups()))
    return sentence


def reason(why: str, language: int) -> str:
    """How a family was found, as a sentence."""
    words = in_words(why, language)
    return f"{words[:1].upper()}{words[1:]}{('。', '.')[language]}"


def _names(part: str) -> str:
    """Families are joined by a word."""
    return part.replace(" and ", "、") if re.fullmatch(r"[\w.-]+( and [\w.-]+)+", part) else part


def report_html(report: Report, missing: Sequence[tuple[str, str]], language: int) -> str:
    """Verdict, problems and notes first, then what the file is. missing: model files, in English and Chinese."""
    words = {key: pair[language] for key, pair in WORDS.items()}
    verdict = "bad" if not report.usable else "lacking" if missing else "good"
    kind = {"bad": "error", "lacking": "notice", "good": "good"}[verdict]
    lines = [(words[verdict], f"verdict {kind}")]
    lines += [(words["problem"] + in_words(problem, language), "problem") for problem in report.problems]
    lines += [(words["note"] + in_words(note, language), "notice") for note in report.notes]
    lines += [(pair[1 - language], "notice") for pair in missing]
    rows = "".join(
        f"<dt>{words[key]}</dt><dd>{html.escape(value)}</dd>" for key, value in _rows(report, words, language)
    )
    return f'<section class="report" role="status">{lines_html(lines)}<dl>{rows}</dl></section>'


def _rows(report: Report, words: dict[str, str], language: int) -> list[tuple[str, str]]:
    comma = ("、", ", ")[language]
    rows = [("file", plain(report.file) + (f" ({bytes_in_words(report.file_bytes)})" if report.file_bytes else ""))]
    if report.variant:
        rows += [
            ("family", f"{report.variant.name}{('。', '. ')[language]}{reason(report.why, language)}"),
            ("taught", comma.join(words[code] for code in report.variant.speaks)),
        ]
    if report.parameters:
        size = bytes_in_words(report.speaking_bytes)
        rows += [
            ("speaking", words["numbers"].format(size, report.parameters, report.precision)),
            ("training", bytes_in_words(report.training_bytes) if report.training_bytes else words["nothing"]),
        ]
    if report.sizes:
        rate, hop = report.sizes.sampling_rate, report.sizes.hop
        rows += [("sound", words["rate"].format(rate, hop, 1000 * hop / rate))]
    if report.speakers:
        rows += [("speakers", some(report.speakers, words["more"], comma))]
    if report.sizes:
        free = words["own words" if report.variant and report.variant.needs_clap else "none"]
        rows += [("emotions", some(report.sizes.emotions, words["more"], comma) or free)]
    if report.variant:
        needs = [BERTS[report.variant.bert_width]] if report.variant.needs_bert else []
        needs += [words["clap"]] if report.variant.needs_clap else []
        rows += [("needs", words["ja"] if "ZH" not in report.variant.speaks else comma.join(needs) or words["alone"])]
    return rows


def some(names: Sequence[str], more: str, comma: str, most: int = MOST) -> str:
    """The first names of a list that may be long."""
    short = comma.join(map(plain, names[:most]))
    return more.format(short, len(names) - most, len(names)) if len(names) > most else short
