"""Plain text out of bytes: in the marked or declared encoding, otherwise in a guessed one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ingest.loaders.base import Loaded, Source
from ingest.loaders.european import EUROPEAN, european_encodings
from ingest.loaders.text import clean, without_data
from storage.errors import DocumentRefusedError
from storage.reasons import Reason
from storage.records import Meta


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text out of bytes and its encoding, which was `guessed` if nothing declared it.

    `broken` counts the characters that had to be replaced by U+FFFD. `weak`: the guess rests on so few
    characters, or is so close to another, that a person should look at it.
    """

    text: str
    encoding: str
    guessed: bool = False
    broken: int = 0
    weak: bool = False

    @property
    def metadata(self) -> dict[str, Meta]:
        """The encoding, and a mark if it is a guess."""
        return {"encoding": self.encoding, **({"encoding_guessed": True} if self.guessed else {})}

    @property
    def warnings(self) -> tuple[str, ...]:
        return (
            *(
                [Reason("ingest.replaced-characters", n=self.broken, encoding=self.encoding)]
                * bool(self.broken)
            ),
            *([Reason("ingest.weak-encoding", encoding=self.encoding)] * self.weak),
        )


_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
# Very common Chinese characters, which tell GB18030 from Big5, whose byte ranges overlap.
_SIMPLIFIED = frozenset(
    "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长"
)
_TRADITIONAL = frozenset(
    "的一是不了在人有我他這中大來上國個到說們為子和你地出道也時年得就那要下以生會自著去之過家學對可她裡後小麼心多天而能好都然沒日於起還發成事只作當想看文無開手十用主行方又如前所本見經頭面公同三已老從動兩長"
)
_SYLLABLES = frozenset(
    "이다는에의가을를은한고하지도서로사기시대자그인있어리나것해부정수일보제과만들전라상면스장여동년"
)
# Further everyday characters of Chinese: what reads as Korean and has few of them is Korean.
_EVERYDAY = _SIMPLIFIED | frozenset(
    "分工产种定法民进等部度电力水化高二理物现实加量体制机使点业把性应它合因由其些外政四社义平形相全表间样"
    "与关各重新线内数正反明原利比或但质气第向命此变条结解问意建月系军很情者最立代通并提直题党程展五果料象"
    "员革位入常总次品式活设及管特件求基资边流路级少图山统接知较将组计别角期根论运农指几九区强放决西被干做"
    "必战先回则任取据处队南给色光门即保治北造百规热领七海口东导器压志世金增争济阶油思术极交受联什认六共权"
    "收证改清己美再采转更单风切打白教速花带安场身车例真务具万每目至达走积示议声报斗完类八离华名确才科张信"
    "马节话米整空元况今集温传土许步群广石记需段研界拉林律叫且究观越织装影算低持音众书布复容儿须际商非验连"
    "断深难近矿千周委素技备半办青省列习响约支般史感劳便团往酸历市克何除消构府称太准精值号率族维划选标写存"
    "候毛亲快效斯院查江型眼王按格养易置派层片始却专状育厂京识适属圆包火住调满县局照参红细引听该铁价严女男"
    "功德获健康饭店球固牛哪灵唱邦纪阀垫密封圈螺母弹簧齿轮皮龄轴承泵障故栓滤龙飞围鲁亚语依评歌剧演奖赛届曾"
    "担职士博馆镇村街岛洲湖河湾港站桥楼室厅园森树叶草虫鱼鸟羊猪狗猫虎兔蛇鼠鸡鸭食菜肉蛋奶酒茶糖盐醋粮豆瓜"
    "橙苹香蕉桃梨杏黄蓝绿黑灰紫粉银铜铝锌钢丝板零配套拆卸修护换补焊磨削钻孔槽键销轨链绳杆臂柄脚爪座架框盖"
    "壳罩环扣钩锁钥匙窗户墙顶底侧左右春夏秋冬早晚午夜昨码编姓址邮箱网账款额费税息贷借押租售购买卖贸货币亿"
    "双批袋瓶罐桶盒页份册卷篇章项录索附注释忘载登陆退错误警告停止启闭插拔旋移拖推抬举升降缩膨胀泄漏渗堵塞"
    "冷燥湿润滑洁污染毒害危险防救灭灾爆炸腐蚀锈氧氢氮碳硫磷氯钠钾钙镁晶液态纯杂混溶析沉淀蒸馏酵胞菌病症疗"
    "药针剂诊医患血脑肺肝肾胃肠骨肌肤耳鼻牙舌喉颈肩背腰腹腿膝足甲父兄弟姐妹夫妻孙爷叔婚礼宴庆祝假旅游览票"
    "船航班台驾驶罚检测试审签字印刷扫描拷贝粘贴删添储恢初默择帮助版"
)
_ASCII = re.compile("[\x00-\x7f]+")
_ODD_LINE = re.compile(rb"[^\n]*[\x80-\xff][^\n]*")
_SAMPLE = 200_000
# Encodings that files really have. Among all that exist, a guess from a few bytes would be arbitrary.
_CANDIDATES = (
    *("cp1252", "iso8859_2", "cp1250", "cp1251", "koi8_r", "cp866", "cp1253", "cp1254", "cp1255", "cp1256"),
    *("cp874", "cp850", "mac_roman", "cp932", "euc_jp", "cp949", "gb18030", "big5hkscs"),
)
# With fewer characters beyond ASCII than this, a guess is weak.
_FEW = 30
# The odds (their logarithm) against a misreading that speak for Korean.
_SURE = 4.0
_FEWEST_KANA = 4
# With more broken bytes than this in 1,000 characters, and than half of the right ones, the text is not
# damaged UTF-8 but something else.
_FLAWS_PER_THOUSAND = 20


def load(source: Source) -> Loaded:
    """A file of plain text as it is, except for line ends and characters without meaning to a reader."""
    decoded = decode(source.data)
    text, pictures = without_data(clean(decoded.text))
    return Loaded(
        text=text.strip("\n"),
        metadata=decoded.metadata,
        warnings=(*decoded.warnings, *inline_pictures(pictures)),
    )


def inline_pictures(n: int) -> tuple[Reason, ...]:
    """The warning that pictures inside a text were left out."""
    return (Reason("ingest.inline-pictures", n=n),) if n else ()


def encoding_of(sample: bytes) -> Decoded:
    """The encoding of a file of which `sample` is the beginning, perhaps with a torn end.

    Raises DocumentRefusedError (undecodable).
    """
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return Decoded("", encoding)
    if wide := _wide(sample):
        return Decoded("", wide, guessed=True)
    return decode(sample[: sample.rfind(b"\n") + 1] or sample)


def decode(data: bytes, *, declared: str | None = None) -> Decoded:
    """Decode bytes whose encoding is marked, declared or guessed (UTF-8/16, GB18030, Big5, Latin, ...).

    Raises DocumentRefusedError (undecodable) for bytes that are not text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _lenient(data[len(mark) :], encoding)
    if wide := _wide(data):
        return _lenient(data, wide, guessed=True)
    if b"\x1b$" in data and (text := _strict(data, "iso2022_jp")) is not None:
        return Decoded(text, "iso2022_jp", guessed=True)
    seven_bits = declared is not None and declared.lower() in ("utf-7", "hz", "hz-gb-2312", "iso-2022-kr")
    for name in (declared, "utf-8") if seven_bits else ("utf-8", declared):
        if name and (text := _strict(data, name)) is not None:
            return Decoded(text, name.lower())
    return _guess(data)


def _strict(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError):
        return None


def _lenient(data: bytes, encoding: str, *, guessed: bool = False) -> Decoded:
    text = data.decode(encoding, "replace")
    return Decoded(text, encoding, guessed, text.count("\ufffd"))


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, whose NULs no other text has: half of the bytes of Latin text, on the
    odd or the even places; elsewhere a half of each space and line end."""
    sample = data[:4096]
    if len(sample) < 8 or 0 not in sample:
        return None
    odd, even = sample[1::2].count(0), sample[::2].count(0)
    for encoding in () if sample.isascii() else ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        unit = 4 if "32" in encoding else 2
        text = _strict(sample[: len(sample) // unit * unit], encoding)
        if text and all(letter.isprintable() or letter in "\t\n\r\f\u3000\ufeff" for letter in text):
            return encoding
    if sample.count(0) < len(sample) * 0.3 or max(odd, even) < 4 * max(1, min(odd, even)):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _guess(data: bytes) -> Decoded:
    flawed = _lenient(data, "utf-8", guessed=True)
    beyond_ascii = len(_beyond_ascii(flawed.text)) - flawed.broken
    few = flawed.broken * 1000 <= _FLAWS_PER_THOUSAND * len(flawed.text) and beyond_ascii >= flawed.broken
    if few or beyond_ascii >= 2 * flawed.broken > 0:
        return flawed
    sample = data if len(data) <= _SAMPLE else b"\n".join(_ODD_LINE.findall(data))[:_SAMPLE]
    found = _japanese(sample) or _korean(sample) or _chinese(sample) or _any_other(sample)
    if found is None:
        return _last_resort(flawed)
    return replace(_lenient(data, found.encoding, guessed=True), weak=found.weak)


def _beyond_ascii(text: str) -> str:
    return _ASCII.sub("", text)


def _nearly(data: bytes, encoding: str) -> str | None:
    """Text with next to no broken character, as that of a file that was cut off."""
    if (text := _strict(data, encoding)) is not None:
        return text
    text = data.decode(encoding, "replace")
    return text if text.count("\ufffd") * 50 <= len(_beyond_ascii(text)) else None


def _chinese(data: bytes) -> Decoded | None:
    """GB18030 or Big5, whose byte ranges overlap: the one whose frequent characters are in the text.

    A short list of names may have none of them: see `_everyday_chinese`.
    """
    best, best_share = None, 0.12
    for encoding, common in (
        ("gb18030", _SIMPLIFIED),
        ("big5hkscs", _TRADITIONAL),
        ("gb18030", _TRADITIONAL),
    ):
        text = _nearly(data, encoding)
        if text is None:
            continue
        letters = list(_beyond_ascii(text).replace("\ufffd", ""))
        found = sum(character in common for character in letters)
        share = found / max(1, len(letters))
        if encoding == "big5hkscs" and not any(
            character.encode(encoding)[1:] < b"\x7f" for character in letters
        ):
            continue  # no second byte that EUC encodings lack: rather one of those
        if share > best_share:
            best, best_share = Decoded(text, encoding, guessed=True, weak=len(letters) < _FEW), share
    return best or _everyday_chinese(data)


def _everyday_chinese(data: bytes) -> Decoded | None:
    """Text of everyday characters only: in GB2312 by the ranges of its first level, in Big5 likewise."""
    for encoding, everyday in (("gb18030", _is_everyday_gb), ("big5hkscs", _is_everyday_big5)):
        text = _strict(data, encoding)
        if text is None:
            continue
        letters = _beyond_ascii(text)
        if not everyday([character.encode(encoding) for character in letters]):
            continue
        return Decoded(text, encoding, guessed=True, weak=len(letters) < 4 * _FEW)
    return None


def _is_everyday_gb(pairs: list[bytes]) -> bool:
    """True if pairs are GB2312 and nearly all in its first level or punctuation."""
    if any(len(pair) != 2 or not 0xA1 <= pair[0] <= 0xF7 or pair[1] < 0xA1 for pair in pairs):
        return False
    first = sum(0xB0 <= pair[0] <= 0xD7 for pair in pairs)
    marks = sum(pair[0] <= 0xA3 for pair in pairs)
    return first > 0 and (first + marks) * 20 >= 17 * len(pairs)


def _is_everyday_big5(pairs: list[bytes]) -> bool:
    """True if pairs are in Big5's first level, some with a second byte that no EUC encoding has."""
    everyday = all(len(pair) == 2 and 0xA1 <= pair[0] <= 0xC6 for pair in pairs)
    return everyday and any(pair[1] < 0x7F for pair in pairs)


def _korean(data: bytes) -> Decoded | None:
    """Hangul throughout, with more frequent syllables than frequent characters of Chinese, whose bytes they
    share; or three and more simple syllables, as nearly all are, that are hardly everyday characters."""
    letters = _beyond_ascii(_strict(data, "cp949") or "")
    if not letters or not all("\uac00" <= letter <= "\ud7a3" for letter in letters):
        return None
    if sum(letter.encode("cp949")[1] < 0xA1 for letter in letters) * 10 > len(letters):
        return None  # syllables that Korean hardly has: rather Big5
    chinese = _beyond_ascii(data.decode("gb18030", "replace"))
    frequent = sum(letter in _SYLLABLES for letter in letters)
    if frequent <= sum(each in _SIMPLIFIED or each in _TRADITIONAL for each in chinese):
        odds = sum(0.46 if _is_simple(letter) else -1.66 for letter in letters)
        odds -= sum(1.35 if each in _EVERYDAY else -1.65 for each in chinese)
        if len(letters) < 3 or odds < _SURE:
            return None
    return Decoded("", "cp949", guessed=True, weak=len(letters) < _FEW)


def _is_simple(syllable: str) -> bool:
    """True without doubled consonants or rare vowels, and with a usual consonant at the end or none."""
    initial, rest = divmod(ord(syllable) - 0xAC00, 588)
    vowel, final = divmod(rest, 28)
    doubled = initial in (1, 4, 8, 10, 13)
    return not doubled and vowel not in (3, 10, 15) and final in (0, 1, 4, 8, 16, 17, 19, 21)


def _japanese(data: bytes) -> Decoded | None:
    """EUC-JP, whose kana have the bytes of Chinese characters in Big5: a quarter of all, and four of them."""
    letters = _beyond_ascii(_strict(data, "euc_jp") or "")
    kana = sum("\u3041" <= letter <= "\u30ff" for letter in letters)
    if kana < _FEWEST_KANA or kana * 4 < len(letters):
        return None
    return Decoded("", "euc_jp", guessed=True, weak=len(letters) < _FEW)


def _any_other(data: bytes) -> Decoded | None:
    from charset_normalizer import from_bytes

    matches = from_bytes(data, cp_isolation=list(_CANDIDATES))
    best = matches.best()
    as_good = [
        match for match in matches if best and match.chaos <= best.chaos and match.coherence >= best.coherence
    ]
    unsure = best is None or best.coherence == 0 or any(match.encoding == "cp1252" for match in as_good)
    western = unsure or best is None or best.encoding in EUROPEAN
    if western and (names := european_encodings(data)):
        found = _lenient(data, names[0], guessed=True)
        return replace(found, weak=len(names) > 1 and len(_beyond_ascii(found.text)) < _FEW)
    encoding = "" if best is None else best.encoding
    text = _strict(data, "gb18030") if encoding in EUROPEAN else None  # no word of Europe's, as was seen
    if text is not None and all(map(_is_ideographic, _beyond_ascii(text))):
        return Decoded(text, "gb18030", guessed=True, weak=True)
    decoded = _lenient(data, encoding, guessed=True) if encoding else None
    if decoded is None or decoded.broken * 100 > len(decoded.text):
        return None
    return replace(decoded, weak=len(_beyond_ascii(decoded.text)) < _FEW)


def _is_ideographic(character: str) -> bool:
    return "\u3000" <= character <= "\u303f" or "\u4e00" <= character <= "\u9fff" or character > "\uff00"


def _last_resort(flawed: Decoded) -> Decoded:
    if flawed.broken * 10 > len(flawed.text):
        raise DocumentRefusedError("ingest.undecodable", Reason("ingest.no-encoding"))
    return flawed
