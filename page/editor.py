"""The editor's component: its words, its scripts, and the server functions behind them (studio.py)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from infer.documents.project import MOST_TAKES
from page.look import WORDS as LOOK
from page.studio import FORMATS, Studio

ASSETS = Path(__file__).resolve().parent
SCRIPTS = ("look.js", "player.js", "cards.js", "editor.js")  # in this order, as one

WORDS = {  # key -> Chinese, English
    "empty": (
        "在上面写一段中文，按“朗读”或 Ctrl + Enter：边合成边播放。然后可以：\n"
        "点任何一个字，改它的读音；\n"
        "每一句单独重说、改字、换说话人和情感，其余的句子不变；\n"
        "下载声音或字幕。",
        "Write some Chinese above and press Speak or Ctrl + Enter: you hear it while it is being made. Then you can\n"
        "click any character to change how it is read,\n"
        "say each sentence again by itself, change its words, speaker or emotion; the others stay as they are,\n"
        "download the sound or subtitles.",
    ),
    "preparing": ("准备中……", "Getting ready …"),
    "waiting": ("别人正在用，请稍等……", "Others are speaking; yours comes next …"),
    "speaking": ("正在合成第 {0} / {1} 句", "Making sentence {0} of {1}"),
    "left": ("约剩 {0}", "about {0} left"),
    "s": ("秒", "s"),
    "min": ("分钟", "min"),
    "finished": (
        "{0} 秒语音，{1} 秒后出声。",
        "{0} s of speech, first sound after {1} s.",
    ),
    "known": ("没有改动，直接播放。", "Nothing has changed; playing what is there."),
    "stopped": ("已停止。", "Stopped."),
    "undone": ("已撤销。", "Undone."),
    "moved": ("已移到第 {0} 句。", "Moved to place {0}."),
    "removed": ("已删除，Ctrl + Z 可以恢复。", "Removed; Ctrl + Z brings it back."),
    "restored": ("这是上次的内容。", "This is what was here last time."),
    "remembered": ("已记住“{0}”的读音。", "The reading of {0} is remembered."),
    "no connection": (
        "连不上服务器。文字还在，请看看程序是否还开着，再试一次。",
        "The server does not answer. Your text is still here: see whether the program is running, and try again.",
    ),
    "progress": ("合成进度", "Progress"),
    "whole": ("完整音频", "The whole speech"),
    "format": ("格式", "Format"),
    "download": ("下载 {0}", "Download {0}"),
    "saving": ("正在准备文件……", "Preparing the file …"),
    "play all": ("播放全部", "Play all"),
    "reroll all": ("全部换个说法", "New takes of all"),
    "undo": ("撤销", "Undo"),
    "close": ("关闭", "Close"),
    "comma": ("，", ", "),
    "cards": ("句子", "Sentences"),
    "said": ("读法：{0}。用左右方向键移动，回车改读音。", "As read: {0}. Arrow keys move, Enter changes a reading."),
    "card.name": ("第 {0} 句", "Sentence {0}"),
    "card.play": ("播放第 {0} 句", "Play sentence {0}"),
    "card.stop": ("停止第 {0} 句", "Stop sentence {0}"),
    "card.reroll": ("换个说法", "Another take"),
    "card.edit": ("改文字", "Edit the text"),
    "card.lock": ("锁定：不再改变", "Lock: keep it as it is"),
    "card.unlock": ("解除锁定", "Unlock"),
    "card.up": ("上移", "Move up"),
    "card.down": ("下移", "Move down"),
    "card.remove": ("删除", "Remove"),
    "card.more": (
        "更多：说话人、情感、语速、六种情感、看声音",
        "More: speaker, emotion, speed, six emotions, see the sound",
    ),
    "stale": ("未合成", "not made yet"),
    "takes": ("版本", "Takes"),
    "take": ("版本 {0}", "Take {0}"),
    "take.title": ("种子 {0}", "seed {0}"),
    "chip.remove": ("去掉，跟随整体设置", "remove, follow the settings of all"),
    "follow": ("同整体", "as all"),
    "option.speaker": ("说话人", "Speaker"),
    "option.emotion": ("情感", "Emotion"),
    "option.emotion_strength": ("情感强度", "Strength"),
    "option.speed": ("语速", "Speed"),
    "option.seed": ("种子", "Seed"),
    "six": ("用六种情感听这一句", "Hear this line in six emotions"),
    "six.use": ("用它", "Use"),
    "six.ready": ("点一种情感再听一遍，点“用它”选用。", "Click an emotion to hear it again; “Use” takes it."),
    "look": ("看声音", "See the sound"),
    "pause": ("停顿", "Pause"),
    "pause.paragraph": ("段落停顿", "Paragraph pause"),
    "pause.after": ("第 {0} 句后的停顿（秒）", "Pause after sentence {0} (s)"),
    "seconds": ("秒", "s"),
    "reading.of": ("“{0}”的读音", "Readings of {0}"),
    "reading.own": ("自己写“{0}”的拼音", "Your own pinyin for {0}"),
    "reading.use": ("用这个", "Use"),
    "reading.remember": ("记住，以后都这样读", "remember for every text"),
    "reading.changed": (
        "这里念的和写的不一样（数字或外文），请直接改文字。",
        "This is said otherwise than it is written (a number or foreign word); change the text itself.",
    ),
    "mark.unsure": ("拿不准", "not sure"),
    "mark.approximation": ("近似读音", "an approximation"),
    "mark.user": ("你指定的", "as you said"),
    "mark.glossary": ("读音表", "from the glossary"),
}


def component(studio: Studio, options: Mapping[str, Any]) -> gr.HTML:
    """The editor; its script makes `window.studio`. options: the page's controls and their defaults, text first."""
    return gr.HTML(
        html_template='<div class="editor"></div>',
        js_on_load="\n".join((ASSETS / script).read_text(encoding="utf-8") for script in SCRIPTS),
        server_functions=studio.functions(),
        words=WORDS | LOOK,
        options=list(options.items()),
        formats=list(FORMATS),
        most_takes=MOST_TAKES,
        apply_default_css=False,
        elem_id="editor",
    )
