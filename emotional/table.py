"""Emotions of voices that hold a table of them instead of a CLAP input: words in, weights over the table's rows out.

>>> emotion_weights("有点难过", ["neutral", "happy", "sad", "angry"])
([0.5, 0.0, 0.5, 0.0], True)
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

# The longest keyword wins, so an idiom or a denied word stands where its meaning is: 不开心 is sad, 生气勃勃 is happy.
WORDS: Mapping[str, Sequence[str]] = {
    name: tuple(word.strip() for word in words.strip().replace("\n", ",").split(","))
    for name, words in {
        "neutral": """
            平静, 中性, 中立, 平和, 平淡, 平常, 平稳, 普通, 正常, 自然, 冷静, 镇定, 沉稳, 淡定, 默认, 无感情
            没有感情, 没有情绪, 不带感情, 舒缓, 安静, 严肃, 认真, 庄重
            安靜, 嚴肅, 認真, 莊重
            平靜, 平穩, 冷靜, 鎮定, 沉穩, 默認, 無感情, 沒有感情, 沒有情緒, 不帶感情
            calm, calmly, normal, normally, natural, naturally, plain, plainly, flat, ordinary, default, composed
            emotionless, unemotional, no emotion, without emotion, serious, seriously, quiet, quietly, relaxed
            peaceful, peacefully
        """,
        "happy": """
            开心, 高兴, 快乐, 欢乐, 欢快, 欢喜, 愉快, 愉悦, 喜悦, 欣喜, 惊喜, 幸福, 兴奋, 激动, 雀跃, 轻快, 活泼
            得意, 爽, 惊讶, 惊奇, 吃惊, 驚訝, 驚奇, 吃驚, 热情, 熱情, 俏皮, 调皮, 笑, 微笑, 乐呵呵, 乐滋滋
            兴高采烈, 喜出望外, 眉飞色舞, 心花怒放, 手舞足蹈, 生气勃勃
            開心, 高興, 快樂, 歡樂, 歡快, 歡喜, 愉悅, 喜悅, 驚喜, 興奮, 激動, 輕快, 活潑, 興高采烈, 生氣勃勃
            心花怒放
            happy, happily, happier, happiness, joy, joyful, joyfully, joyous, glad, gladly, cheerful, cheerfully
            cheery
            merry, merrily, delighted, delight, excited, excitedly, exciting, laugh, laughs, laughing, smile, smiles
            smiling
            pleased, elated, surprised, surprise, amazed, enthusiastic, playful, 😀, 😃, 😄, 😁, 😆, 😊, 🙂, 😂, 🤣, 🥰
        """,
        "sad": """
            难过, 伤心, 悲伤, 悲哀, 悲痛, 悲, 哀伤, 哀, 忧伤, 忧郁, 忧愁, 抑郁, 郁闷, 沮丧, 失落, 失望, 绝望, 痛苦
            心碎, 心酸, 委屈, 害怕, 恐惧, 惊恐, 担心, 担忧, 紧张, 孤独, 疲惫
            恐懼, 驚恐, 擔心, 擔憂, 緊張, 孤獨
            凄凉, 凄惨, 惆怅, 落寞, 消沉, 低落, 流泪, 含泪, 眼泪, 哭, 苦笑, 哭笑不得, 垂头丧气, 没精打采, 闷闷不乐
            郁郁寡欢
            不开心, 不高兴, 不快乐, 不愉快, 不愉悦, 不快, 不幸, 不幸福, 高兴不起来, 开心不起来, 快乐不起来, 笑不出来
            難過, 傷心, 悲傷, 哀傷, 憂傷, 憂鬱, 憂愁, 抑鬱, 鬱悶, 沮喪, 絕望, 流淚, 眼淚, 不開心, 不高興, 不快樂
            悶悶不樂, 笑不出來
            sad, sadly, sadder, sadness, sorrow, sorrowful, sorrowfully, unhappy, unhappily, grief, grieving
            mournful
            mournfully, melancholy, melancholic, depressed, depressing, gloomy, miserable, heartbroken, tearful
            tearfully
            cry, cries, crying, weep, weeping, disappointed, upset, afraid, fearful, fear, scared
            worried, lonely, not happy, not glad, not joyful, not cheerful
            not pleased
            😢, 😭, 😞, 😔, 🙁, ☹, 😿
        """,
        "angry": """
            生气, 愤怒, 愤慨, 愤恨, 愤然, 恼怒, 恼火, 恼羞成怒, 发怒, 发火, 发脾气, 火大, 火冒三丈, 怒, 怒气
            怒气冲冲, 怒极反笑
            气愤, 气恼, 气冲冲, 气死, 暴躁, 暴跳如雷, 咬牙切齿, 冷笑, 嘲笑, 不耐烦, 不满, 不爽
            生氣, 憤怒, 憤慨, 惱怒, 惱火, 發怒, 發火, 發脾氣, 怒氣, 氣憤, 氣死, 不耐煩, 不滿
            angry, angrily, angrier, anger, mad, furious, furiously, fury, rage, raging, enraged, outraged
            irritated
            annoyed, irate, hostile, 😠, 😡, 🤬, 😤
        """,
        "gentle": """
            温柔, 温和, 温馨, 温存, 轻柔, 柔和, 柔声, 亲切, 和蔼, 慈祥, 体贴, 细声细语, 轻声细语, 和声细语
            溫柔, 溫和, 輕柔, 柔聲, 親切, 和藹, 體貼, 輕聲細語
            gentle, gently, soft, softly, tender, tenderly, soothing, soothingly, kind, kindly, warm, warmly
        """,
        "whisper": """
            轻声, 悄声, 小声, 低声, 气声, 耳语, 低语, 悄悄, 悄悄话, 窃窃私语, 压低声音
            輕聲, 悄聲, 小聲, 低聲, 氣聲, 耳語, 低語
            whisper, whispers, whispered, whispering, hushed, murmur, murmuring, under your breath, in a low voice
        """,
    }.items()
}

# What may stand right before a keyword, among its last characters alone: every search costs the same, however long
# the prompt. 特别 and its like are not the 别 that forbids.
NEAR = 60
DENIED = re.compile(
    r"((?<![特分个告离])别|不|没有?|沒有?|毫?无|毫?無|并非|並非)"
    r"(是|太|很|要|会|會|再|那么|那麼|这么|怎么|怎麼|大|能|必|用|该|感到|觉得|显得|特别|非常|\s){0,12}$"
    r"|((?<![a-z])(not|no|never|without|hardly|cannot)|n't)"
    r"( (a|be|being|so|too|very|that|really|all|at|bit|little|feel|feeling|get)){0,12} ?$"
)
MILD = re.compile(
    r"(有一?点|有點|点|點|一?些|略|稍|微|一丝|一絲|几分|幾分)(儿|微|稍|许|带|帶|有|的|地|\s){0,12}$"
    r"|(?<![a-z])(slightly|mildly|somewhat|faintly|an? (little )?(little|bit|touch|hint))( of)?( (a|an))? ?$"
)


def emotion_weights(prompt: str, emotions: Mapping[str, Sequence[str]] | Sequence[str]) -> tuple[list[float], bool]:
    """Weights over `emotions`, in their order and with sum 1, and whether the prompt was understood.

    emotions: the voice's emotions, the neutral one first: names alone (keywords from WORDS), or name -> keywords.
        A name is always a keyword of its own; a keyword listed twice belongs to the first.
    Several emotions share the weight; a mild one ("有点难过", "slightly sad") counts half, and what is left is neutral.
    A denied keyword means its denied form where one is listed (不太开心 -> 不开心, sad), otherwise nothing (别生气).
    A prompt without any known word is neutral and False; a blank one asks for nothing: neutral and True.
    Words for gentle are neutral to a voice without that mood; words for whispering say nothing to one that cannot.
    Raises ValueError if there are no emotions.
    """
    if not emotions:
        raise ValueError("A table of emotions needs at least one: the neutral one, first.")
    names = list(emotions)
    table = emotions if isinstance(emotions, Mapping) else {name: WORDS.get(_plain(name), ()) for name in names}
    owner: dict[str, int] = {}
    for index, name in enumerate(names):
        for word in (name, *table[name]):
            owner.setdefault(_plain(word), index)
    if _plain(names[0]) == "neutral" or "neutral" in table[names[0]]:
        for word in ("gentle", *WORDS["gentle"]):
            owner.setdefault(_plain(word), 0)

    text = _plain(prompt)
    matches = list(_pattern(owner).finditer(text))
    weights = [0.0] * len(names)
    for match in matches:
        word, before = match[0], text[max(0, match.start() - NEAR) : match.start()]
        if denial := DENIED.search(before):
            word = next((form for form in (f"不{word}", f"not {word}") if form in owner), "")
            before = before[: denial.start()]
        if word:
            weights[owner[word]] = max(weights[owner[word]], 0.5 if MILD.search(before) else 1.0)
    weights[0] += max(0.0, 1.0 - sum(weights))
    total = sum(weights)
    return [weight / total for weight in weights], bool(matches) or not text


def _plain(text: str) -> str:
    """One form for full and half width, capitals, curly apostrophes and runs of white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().replace("’", "'").split())


def _pattern(words: Mapping[str, int]) -> re.Pattern[str]:
    """Any of the words, the longest first; Latin ones only as whole words, so that "made" is not mad."""
    longest_first = sorted(filter(None, words), key=len, reverse=True)
    either = "|".join(rf"(?<![a-z]){re.escape(w)}(?![a-z])" if w.isascii() else re.escape(w) for w in longest_first)
    return re.compile(either)


def in_words(weights: Sequence[float], emotions: Sequence[str]) -> tuple[str, str]:
    """Weights over emotions for a person, in English and Chinese: "sad 50 %, neutral 50 %", the strongest first."""
    shares = sorted(zip(weights, emotions, strict=True), key=lambda share: -share[0])
    english = [f"{name} {weight:.0%}".replace("%", " %") for weight, name in shares if weight]
    chinese = [
        f"{WORDS.get(_plain(name), (name,))[0]} {weight:.0%}".replace("%", " %") for weight, name in shares if weight
    ]
    return ", ".join(english), "、".join(chinese)
