"""English sounds -> the Mandarin syllables nearest to them: how a Chinese speaker without English would repeat a word.

Sounds are written as in the CMU Pronouncing Dictionary (ARPAbet): consonants "TH", vowels with their stress "AE1"
(1 primary, 2 secondary, 0 none). text/data/NOTICE.md says whose dictionary that is. Words it lacks go through
spelling rules.
"""

import functools
import re
from importlib.resources import files

# The syllables of Mandarin as they are spelt, by initial; "" has none. Nothing else is ever said.
_SYLLABLES = """
    : a ai an ang ao e ei en eng er o ou
    b: a ai an ang ao ei en eng i ian iao ie in ing o u
    p: a ai an ang ao ei en eng i ian iao ie in ing o ou u
    m: a ai an ang ao e ei en eng i ian iao ie in ing iu o ou u
    f: a an ang ei en eng o ou u
    d: a ai an ang ao e ei eng i ian iao ie ing iu ong ou u uan ui un uo
    t: a ai an ang ao e eng i ian iao ie ing ong ou u uan ui un uo
    n: a ai an ang ao e ei en eng i ian iang iao ie in ing iu ong ou u uan uo v ve
    l: a ai an ang ao e ei eng i ia ian iang iao ie in ing iu ong ou u uan un uo v ve
    g: a ai an ang ao e ei en eng ong ou u ua uai uan uang ui un uo
    k: a ai an ang ao e ei en eng ong ou u ua uai uan uang ui un uo
    h: a ai an ang ao e ei en eng ong ou u ua uai uan uang ui un uo
    j: i ia ian iang iao ie in ing iong iu u uan ue un
    q: i ia ian iang iao ie in ing iong iu u uan ue un
    x: i ia ian iang iao ie in ing iong iu u uan ue un
    zh: a ai an ang ao e ei en eng i ong ou u ua uai uan uang ui un uo
    ch: a ai an ang ao e en eng i ong ou u uai uan uang ui un uo
    sh: a ai an ang ao e ei en eng i ou u ua uai uan uang ui un uo
    r: an ang ao e en eng i ong ou u uan ui un uo
    z: a ai an ang ao e ei en eng i ong ou u uan ui un uo
    c: a ai an ang ao e en eng i ong ou u uan ui un uo
    s: a ai an ang ao e en eng i ong ou u uan ui un uo
    y: a an ang ao e i in ing ong ou u uan ue un
    w: a ai an ang ei en eng o u
"""
SYLLABLES = frozenset(
    initial.strip() + final
    for initial, finals in (line.split(":") for line in _SYLLABLES.strip().splitlines())
    for final in finals.split()
)

_VOWEL = re.compile("[AEIOU]")

# Initials for an English consonant before a vowel, the best first; the first that gives a syllable is taken.
_ONSETS = """
    B=b P=p M=m F=f V=w,f W=w D=d T=t N=n L=l G=g K=k HH=h,x S=s,x Z=z,j TH=s,x DH=z,j NG=y SH=sh,x ZH=r,zh,j
    CH=ch,q JH=zh,j R=r,l Y=y TS=c,q TR=ch DR=zh KW=ku GW=gu HW=hu SW=su TW=tu LY=li NY=ni
"""

# Finals for an English vowel, the best first; with N where a nasal closes the syllable, with G where it is a velar one.
# AX is the murmured vowel of the, LX that of apple with its l, OH the short o of hot, YUW the u of use.
_FINALS = """
    AA=a AAN=ang AAG=ang AE=ai,a AEN=an AEG=an AH=a AHN=ang AHG=ang AX=e,o,u AXN=en,un,eng,an,n AXG=eng
    AO=ou,o AON=ong,eng AOG=ong,eng AW=ao,a AWN=ang AWG=ang AY=ai EH=ei,ai,e,ie,i EHN=en,ian,an,n EHG=eng
    ER=e,o EY=ei,ai,ie,i IH=i,ei,ui IHN=in,ing,en,n IHG=ing,eng IY=i,ei,ui IYN=in,ing,en IYG=ing,eng
    LX=ou,o,u OH=ao,o OHN=ang OHG=ang OW=ou,o OWN=ong,eng OWG=ong,eng
    UH=u UHN=un UHG=ong,eng UW=u UWN=un UWG=ong,eng YUW=iu
"""

# What the tables would get wrong: consonant (or none) + vowel = syllable.
_EXCEPTIONS = """
    +EH=ai +EHN=en +IH=yi +IHN=yin +IHG=ying +IY=yi +IYN=yin +IYG=ying +UH=wu +UHN=wen +UW=wu +UWN=wen +ER=er +AX=e
    +AON=ang +YUW=you B+LX=bo B+AX=bo CH+EH=qie CH+EY=qie CH+YUW=chu D+AXN=dun DH+IH=zi DH+IY=zi DR+AOG=zhuang
    DR+AE=zhuai DR+AY=zhuai DR+IH=zhui DR+IY=zhui DR+EH=zhui DR+EY=zhui DR+AEN=zhuan DR+IHN=zhun DR+IHG=zhun
    DR+AO=zhuo DR+AA=zhua DR+OH=zhuo DR+EHN=zhun F+AX=fo G+YUW=jiu GW+AXN=gun KW+AXN=kun GW+EHN=gun GW+IHN=gun
    HH+YUW=xiu HW+AH=hua JH+EH=jie JH+AE=jie JH+YUW=zhu K+YUW=qiu KW+EH=kui KW+EHN=kun KW+ER=kuo KW+IHN=kun
    KW+IYN=kun KW+AA=kua KW+AO=kuo KW+AX=kuo KW+LX=kuo L+AXN=lun M+AX=me P+AX=po R+IH=rui R+IY=rui R+EH=rui R+EY=rui
    R+IHN=lin R+IYN=lin R+AA=la R+OH=ruo R+EHN=ren R+AX=ruo R+AH=la R+AE=rui R+IHG=ling R+IYG=ling R+YUW=ru
    S+YUW=xiu SH+EH=xie SH+EY=xie SH+YUW=xiu SW+EHN=sun SW+IHN=sun SW+AA=suo T+AXN=tun T+AX=te TR+AE=chuai
    TR+AY=chuai TR+IH=chui TR+IY=chui TR+EH=chui TR+EY=chui TR+AEN=chuan TR+IHN=chun TR+AO=chuo TR+AOG=chuang
    TR+IHG=chun TR+AA=cha TR+EHN=chun TR+OH=chuo TW+EHN=tun V+ER=wo V+AXN=wen W+OH=wo W+AHN=wan W+ER=wo W+AO=wo
    W+OW=wo W+AX=wo W+UH=wu W+AE=wai W+AAN=wang W+AON=wang W+AOG=wang W+LX=wo Y+EH=ye Y+ER=ye Y+AE=ya Y+IH=yi
    Y+AXN=yan Y+EHN=yan Z+IH=zi Z+IY=zi Z+YUW=ju ZH+EH=jie ZH+AX=re
"""

# A consonant that no vowel follows: the syllable it makes with the shortest vowel there is.
_ALONE = """
    B=bu P=pu M=mu F=fu V=fu W=wu D=de T=te N=en L=er G=ge K=ke HH=he S=si Z=zi TH=si DH=zi NG=en SH=shi ZH=ri CH=qi
    JH=ji R=er Y=yi TS=ci TR=chu DR=zhu KW=ku GW=gu HW=hu SW=su TW=tu LY=li NY=ni
"""
_UNASPIRATED = {"P": "B", "T": "D", "K": "G", "KW": "GW", "TR": "DR"}  # as they sound behind s: speak, star, school


# --- sounds -> syllables -----------------------------------------------------------------------------------------


def mandarin(sounds: str) -> tuple[str, ...]:
    """ "HH AE1 P IY0" -> ("hai4", "pi5"): readings, syllable and tone; at least one if there is a sound.

    The stressed syllable falls, those before it are high, those behind it and added vowels are light.
    """
    phones = _joined(sounds.split())
    syllables: list[tuple[str, int]] = []  # with 1, 2 for stress, 0 for none, -1 for an added vowel
    i = 0
    while i < len(phones):
        consonant = "" if _is_vowel(phones[i]) else phones[i]
        place = i + (consonant != "")
        if place < len(phones) and _is_vowel(phones[place]):
            found, i = _syllable(consonant, phones, place)
            syllables += found
        elif consonant == "Y":
            i += 1
        else:
            if not _is_silent(phones, i):
                syllables.append((_alone(consonant), -1))
            i += 1
    return _toned(syllables)


def _joined(phones: list[str]) -> list[str]:
    """Consonants that Mandarin says as one become one; light vowels get symbols of their own."""
    joined: list[str] = []
    for i, phone in enumerate(phones):
        before = joined[-1] if joined else ""
        after = phones[i + 1] if i + 1 < len(phones) else ""
        last = i == len(phones) - 1
        if phone == "R" and before in ("T", "D") and _is_vowel(after):
            joined[-1] = before + "R"
        elif phone == "W" and before in ("K", "G", "HH", "S", "T") and _is_vowel(after):
            joined[-1] = before[0] + "W"
        elif phone == "Y" and before in ("L", "N") and _is_vowel(after) and not after.startswith(("UW", "UH")):
            joined[-1] = before + "Y"
        elif phone.startswith("ER") and _is_vowel(after):
            joined += [phone, "R"]
        elif phone == "S" and before == "T" and not _is_vowel(after):
            joined[-1] = "TS"
        elif phone == "Z" and before == "D" and not _is_vowel(after):
            joined[-1] = "Z"
        elif phone[:2] in ("UW", "UH") and before == "Y":
            joined[-1] = "YUW" + phone[2:]
        elif phone == "AH0" and after == "L" and (i + 2 == len(phones) or not _is_vowel(phones[i + 2])):
            joined.append("LX0")
        elif phone == "L" and before == "LX0":
            continue
        elif phone == "AH0" and not last:
            joined.append("AX0")
        else:
            joined.append(phone)
    return [_softened(joined, i) for i in range(len(joined))]


def _softened(phones: list[str], i: int) -> str:
    """The stops of star, speak, street, mistake are not aspirated; those of test and sister are."""
    if not i or phones[i - 1] != "S" or phones[i] not in _UNASPIRATED:
        return phones[i]
    place = i + 1 + (phones[i + 1 : i + 2] in (["L"], ["R"], ["W"], ["Y"]))
    heard = place < len(phones) and _is_vowel(phones[place]) and (i == 1 or not phones[place].endswith("0"))
    return _UNASPIRATED[phones[i]] if heard else phones[i]


def _syllable(consonant: str, phones: list[str], place: int) -> tuple[list[tuple[str, int]], int]:
    """The syllables of a consonant (or "") and the vowel at `place`, and where the next one begins."""
    vowel, stress = phones[place][:-1], int(phones[place][-1])
    end = place + 1
    nasal = ""
    closed = end < len(phones) and phones[end] in ("N", "NG", "M")
    if closed and (phones[end] == "NG" or not _is_vowel(phones[end + 1 : end + 2])):
        labial = phones[end + 1 : end + 2] in (["B"], ["P"], ["F"], ["V"])
        if phones[end] != "M" or labial or vowel in ("AE", "AA", "OH"):
            nasal = "G" if phones[end] == "NG" else "N"
    if nasal and phones[end] == "M" and not labial:
        end -= 1  # Sam is shan-mu: the nasal is heard twice
    if nasal and (said := _nearest(consonant, vowel + nasal)):
        return [(said, stress)], end + 1
    said = _open(consonant, vowel, stress)
    if nasal and said[-1][0] == "yi":  # coin, fine
        return [*said[:-1], ("yin", -1)], end + 1
    return said, place + 1


def _open(consonant: str, vowel: str, stress: int) -> list[tuple[str, int]]:
    """A consonant and a vowel that nothing closes."""
    if vowel == "OY":
        rounded = f"{consonant.lower()}o"
        return [(rounded if rounded in SYLLABLES else _nearest(consonant, "OW") or "ou", stress), ("yi", -1)]
    if said := _nearest(consonant, vowel):
        return [(said, stress)]
    if consonant.endswith("W"):  # swipe
        return [(_alone(consonant), -1), (_nearest("W", vowel) or "wa", stress)]
    if vowel == "AY":  # fine, five: there is no fai
        return [(_nearest(consonant, "AA") or "a", stress), ("yi", -1)]
    if vowel == "YUW":  # few, view, pure
        return [(_nearest(consonant, "IY") or "yi", 0), ("you", stress)]
    return [(_alone(consonant) if consonant else "e", -1), (_nearest("", vowel) or "a", stress)]


@functools.cache
def _nearest(consonant: str, vowel: str) -> str:
    """The syllable for a consonant (or "") and a vowel with or without N, G; "" if Mandarin has none."""
    if said := _table(_EXCEPTIONS).get(f"{consonant}+{vowel}"):
        return said[0]
    buzzing = {initial + "i" for initial in ("z", "c", "s", "zh", "ch", "sh", "r")}
    for final in _table(_FINALS).get(vowel, []):
        for initial in _table(_ONSETS).get(consonant, [""]):
            syllable = initial + final
            if syllable in SYLLABLES and syllable not in buzzing:
                return syllable
    return ""


@functools.cache
def _table(block: str) -> dict[str, list[str]]:
    """ "HH=h,x S=s" -> {"HH": ["h", "x"], "S": ["s"]}"""
    pairs = (item.split("=") for item in block.split())
    return {key: values.split(",") for key, values in pairs}


def _alone(consonant: str) -> str:
    return _table(_ALONE)[consonant][0]


def _is_silent(phones: list[str], i: int) -> bool:
    """Whether the r or l that no vowel follows is only a colour of the vowel before it: park, cold, but not car."""
    before = phones[i - 1][:-1] if i and _is_vowel(phones[i - 1]) else ""
    last = i == len(phones) - 1
    if phones[i] == "R":
        return (before in ("AA", "AO") and not last) or before == "ER"
    return phones[i] == "L" and before in ("OW", "AO") and not last


def _toned(syllables: list[tuple[str, int]]) -> tuple[str, ...]:
    """Tones by stress."""
    stresses = [stress for _, stress in syllables]
    peak = next((i for level in (1, 2, 0, -1) for i, stress in enumerate(stresses) if stress == level), 0)
    readings = []
    for i, (syllable, stress) in enumerate(syllables):
        if i == peak or stress == 1:
            tone = 4
        elif i == 0 or stress == 2 or (i < peak and stress == 0):
            tone = 1
        else:
            tone = 5
        readings.append(f"{syllable}{tone}")
    return tuple(readings)


def _is_vowel(phone: str | list[str]) -> bool:
    """phone: or a list with one or none."""
    name = phone if isinstance(phone, str) else "".join(phone)
    return name[-1:].isdigit()


# --- spelling -> sounds ------------------------------------------------------------------------------------------


@functools.cache
def _dictionary() -> dict[str, str]:
    lines = files("text").joinpath("data/cmudict.txt").read_text("utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def known_sounds(word: str) -> str | None:
    """The sounds of a lower-case word in the dictionary, if it is there: "nasa" -> "N AE1 S AH0"."""
    sounds = _dictionary().get(word)
    return sounds and _as_spelt(word, sounds)


def _as_spelt(word: str, sounds: str) -> str:
    """A murmured vowel as a foreign ear expects it from the spelling: u-ni-ver-si-ty, Ca-na-da, com-puter."""
    if "new" in word:
        sounds = sounds.replace("N UW", "N Y UW")
    letters = re.findall("[aeiouy]+", re.sub("^y|(?<=[^aeiouy])(?<![^aeiouy]l)es?$", "", word))
    phones = sounds.split()
    vowels = [i for i, phone in enumerate(phones) if _is_vowel(phone)]
    if len(letters) != len(vowels):
        return sounds
    for i, letter in zip(vowels, letters, strict=True):
        after = phones[i + 1] if i + 1 < len(phones) else ""
        if phones[i][:2] == "AA" and (letter[0] == "o" or letter == "au"):
            phones[i] = "OH" + phones[i][2:]  # not as in father: hot, dollar, August
        if phones[i] != "AH0" or not after:
            continue
        if letter in ("i", "y") or (letter in ("a", "e") and after == "JH"):
            phones[i] = "IH0"
        elif letter == "u" and phones[i - 1] in ("CH", "JH", "Y"):
            phones[i] = "UW0"
        elif after not in ("L", "M", "N", {"a": "R", "u": "S"}.get(letter)) and (
            letter == "u" or (letter == "a" and i)
        ):
            phones[i] = "AA0"
        elif letter == "o" and after in ("M", "N") and i <= 2 and i < vowels[-1]:  # not in button
            phones[i] = "OH0"
    return " ".join(phones)


_LETTER_SOUNDS = """
    A=EY B=B,IY C=S,IY D=D,IY E=IY F=EH,F G=JH,IY H=EY,CH I=AY J=JH,EY K=K,EY L=EH,L M=EH,M N=EH,N O=OW
    P=P,IY Q=K,Y,UW R=AA,R S=EH,S T=T,IY U=Y,UW V=V,IY W=D,AH,B,AH,L,Y,UW X=EH,K,S Y=W,AY Z=Z,IY
"""


def is_spelt_out(word: str) -> bool:
    """Whether the dictionary has a lower-case word as a row of letters: "cpu" -> "S IY2 P IY2 Y UW1"."""
    sounds = _dictionary().get(word)
    if sounds is None or "'" in word:
        return False
    return re.sub("[0-9]", "", sounds).split() == [
        phone for char in word.upper() for phone in _table(_LETTER_SOUNDS)[char]
    ]


# Spelling rules: the first that fits where the reading stands is taken. "-" is silence. V: a vowel letter.
_RULES = """
    augh=AO au=AO aw=AO air=EH R ai\\b=AY ai=EY ay=EY arr=AE R are\\b=EH R ar(?!V)=AA R all=AO L al(?=[kdt])=AO L
    age\\b=AH JH ae=EY a\\b=AH aste=EY S T ange=EY N JH a(?=tion)=EY a(?=[^aeiouywx](?:e|es|ed|er|y|le)\\b)=EY
    a(?=ke|ce|[^aeiouywx]ing\\b)=EY a(?=[^aeiouywx][aeiou])=AA a=AE
    bb=B (?<=m)b\\b=- b=B
    ck=K chr=K R ch=CH cc(?=[eiy])=K S cc=K ci(?=[ao])=SH c(?=[eiy])=S cqu=K W c=K
    dge=JH dg(?=[eiy])=JH dd=D d=D
    eau=OW ear\\b=IH R ear=ER ea(?=d|th|lth|sure)=EH ea=IY eer=IH R ee=IY eigh=EY ei=AY ere\\b=IH R ey\\b=IY ey=EY
    eu=Y UW ew=UW err=EH R er(?!V)=ER
    (?<=[szx])es\\b=AH Z (?<=ch|sh|ce|ge)s\\b=AH Z (?<=[cg])es\\b=AH Z (?<=[^aeiou])es\\b=S
    (?<=[td])ed\\b=AH D (?<=[pkfsx])ed\\b=T (?<=sh|ch)ed\\b=T (?<=.[^aeiou])ed\\b=D
    en\\b=AH N el\\b=AH L ent\\b=AH N T ence\\b=AH N S (?<=[aeiouy].)e\\b=- (?<=[aeiouy]..)e\\b=- e\\b=IY
    e(?=[^aeiouywxr]e\\b)=IY e(?=ment\\b|ful\\b|less\\b|ly\\b)=- e=EH
    ff=F f=F
    ^gh=G ght=T gh=- ^gn=N gn\\b=N gu(?=[ei])=G gg=G ^g(?=e[trs]|i[vrlf])=G g(?=[eiy])=JH g=G
    h(?=V)=HH h=-
    igh=AY ^..?ie\\b=AY ie\\b=IY ier\\b=IY ER ie=IY ire=AY ER irr=IH R ir(?!V)=ER i(?=nd\\b|ld\\b)=AY ique\\b=IY K
    ine\\b=IY N ite\\b=AY T ice\\b=AH S ive\\b=IH V i(?=[^aeiouywx](?:e|es|ed|er)\\b)=AY ing\\b=IH NG
    i(?=on|ou|al)=IY i\\b=IY i(?=[aou])=IY i=IH
    j=JH
    ^kn=N kk=K k=K
    (?<=[^aeiouylrw])le\\b=AH L (?<=[^aeiouylrw])les\\b=AH L Z ll=L l=L
    ^mc=M AH K mm=M mn\\b=M m=M
    ng\\b=NG ng(?=[^aeiouylr])=NG ng=NG G n(?=[kxq])=NG n(?=c[^eiyh])=NG nn=N n=N
    o(?=ing\\b)=OW oar=AO R oor=AO R our=AO R oa=OW
    oo(?=[kd])=UH oo=UW ous\\b=AH S ough=OW oul=UH ou=AW ow(?=n|d|er)=AW ow=OW
    oi=OY oy=OY orr=AO R or\\b=ER ore\\b=AO R or(?!V)=AO R oe\\b=OW o(?=ld|lt|st\\b|ll\\b)=OW o\\b=OW on\\b=AH N
    o(?=[^aeiouywx][aeiouy])=OW o=OH
    ph=F ^ps=S ^pn=N pp=P p=P
    que\\b=K qu=K W q=K
    rh=R rr=R r=R
    sch(?=[lmnrwt])=SH sch=S K ssion=SH AH N (?<=V)sion=ZH AH N sion=SH AH N sure\\b=ZH ER sh=SH sc(?=[eiy])=S
    (?<=[aeiou])s(?=e\\b)=Z (?<=[bdgvnmlrwy])s\\b=Z ss=S s=S
    tch=CH tion=SH AH N ture\\b=CH ER tia=SH AH ti(?=o)=SH th=TH tt=T tz\\b=T S t=T
    ui=UW ue\\b=UW uy\\b=AY ure\\b=UH R urr=ER ur(?!V)=ER u(?=[^aeiouywx](?:e|es|ed|er)\\b)=UW
    u(?=[^aeiouywx][aeiou])=UW ^un=AH N u\\b=UW u(?=[aeiou])=UW u=AH
    v=V
    ^wr=R wh=W w(?=V)=W w=-
    ^x=Z xc(?=[eiy])=K S x=K S
    y(?=V)=Y ^.{1,2}y\\b=AY y\\b=IY yr=IH R y(?=[^aeiou]e\\b)=AY y=IH
    zz=Z z=Z
"""


@functools.cache
def _rules() -> tuple[re.Pattern, list[list[str]]]:
    """All rules as one pattern with a group for each, and the sounds of each."""
    rules = re.findall(r"(?<!\S)(\S+)=(-|[A-Z]+(?: [A-Z]+)*)(?=\s)", _RULES)
    pattern = "|".join(f"({spelling.replace('V', '[aeiouy]')})" for spelling, _ in rules)
    return re.compile(pattern), [sounds.replace("-", "").split() for _, sounds in rules]


def guessed_sounds(word: str) -> str:
    """What a word of the letters a-z sounds like by the rules of spelling: "blick" -> "B L IH1 K"."""
    pattern, sounds = _rules()
    phones: list[str] = []
    place = 0
    while place < len(word):
        match = pattern.match(word, place)
        found = sounds[match.lastindex - 1]
        doubled = bool(found) and phones[-1:] == found[:1] and not _VOWEL.match(found[0])
        phones += found[1:] if doubled else found
        place = match.end()
    vowels = [i for i, phone in enumerate(phones) if _VOWEL.match(phone)]
    stressed = _stressed(word, len(vowels))
    for number, i in enumerate(vowels):
        phones[i] += "1" if number == stressed else "0"
    return " ".join(phones)


def _stressed(word: str, count: int) -> int:
    """Which of the `count` vowels has the stress."""
    if count > 1 and re.search(r"(?:[st]ion|ic|ics|ian|ial|cious|tious|ia|io)s?$", word):
        return max(count - (3 if re.search("i[ao]$", word) else 2), 0)
    if count > 2 and re.search(r"(?:ity|ify|ogy|aphy|ical|ate|ize)$", word):
        return count - 3
    if count > 2 and word[-1] in "aoi":  # as names of the south are said
        return count - 2
    return 0
