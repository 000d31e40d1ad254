"""A pronunciation for words that the dictionary lacks, by parts it knows and by spelling rules.

Phones are the 39 of the CMU Pronouncing Dictionary. The result need not be perfect: an aligner
that knows the other words of a sentence forgives a wrong vowel.
"""

import re
from collections.abc import Callable

from speech2video.util.errors import DataError

Lookup = Callable[[str], str | None]

SHORTEST_PART = 3  # letters in each half of a compound
VOICELESS = {"F", "K", "P", "T", "TH"}
SIBILANTS = {"S", "Z", "SH", "ZH", "CH", "JH"}


def _table(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split())


# What is written, by longest match first: ^ the word's start, $ its end, _ a consonant and final e.
_SPELLINGS = _table("""
    ^kn=N ^gn=N ^wr=R ^ps=S ^x=Z ^y=Y ^wh=W ^who=HH+UW ^rh=R
    tion=SH+AH+N sion=ZH+AH+N ssion=SH+AH+N cian=SH+AH+N cious=SH+AH+S tious=SH+AH+S
    ture=CH+ER ough=AO augh=AO eigh=EY igh=AY sch=S+K tch=CH dge=JH
    ch=CH sh=SH th=TH ph=F gh=G ck=K ng=NG nk=NG+K qu=K+W wh=W sc=S+K sce=S+EH sci=S+AY
    bb=B cc=K dd=D ff=F gg=G jj=JH kk=K ll=L mm=M nn=N pp=P rr=R ss=S tt=T vv=V zz=Z
    ee=IY ea=IY ei=EY ey$=IY eu=Y+UW ew=UW eau=OW ai=EY ay=EY au=AO aw=AO
    ie=IY ie$=IY oa=OW oe=OW oi=OY oy=OY oo=UW ou=AW ow=OW ui=UW ue$=UW uy=AY
    ar=AA+R are$=EH+R air=EH+R er=ER ear=IH+R eer=IH+R ir=ER or=AO+R ore=AO+R our=AW+R oor=AO+R
    ur=ER ure$=Y+UH+R ier$=IY+ER
    ious=IY+AH+S ous=AH+S al$=AH+L le$=AH+L el$=AH+L en$=AH+N on$=AH+N an$=AH+N er$=ER
    ism$=IH+Z+AH+M
    age$=IH+JH ive$=IH+V ice$=IH+S ite$=AY+T ine$=IY+N man$=M+AH+N
    ce=S+EH ci=S+IH cy=S+IY ge=JH+EH gi=JH+IH ces$=S+IH+Z ges$=JH+IH+Z
    ce$=S ge$=JH se$=S es$=Z ed$=D ed=EH+D e$= ^e$=IY
    a_=EY i_=AY o_=OW u_=UW e_=IY
    a=AE b=B c=K d=D e=EH f=F g=G h=HH i=IH j=JH k=K l=L m=M n=N o=AA p=P q=K r=R s=S t=T u=AH v=V
    w=W x=K+S y=IY z=Z a$=AH i$=IY o$=OW u$=UW y$=IY
""")
_LONGEST = max(map(len, _SPELLINGS))
_LETTERS = _table("""
    a=EY b=B+IY c=S+IY d=D+IY e=IY f=EH+F g=JH+IY h=EY+CH i=AY j=JH+EY k=K+EY l=EH+L m=EH+M n=EH+N
    o=OW p=P+IY q=K+Y+UW r=AA+R s=EH+S t=T+IY u=Y+UW v=V+IY w=D+AH+B+AH+L+Y+UW x=EH+K+S y=W+AY
    z=Z+IY
""")
_ENDINGS = {  # what follows a known word, and how it sounds
    "ing": "IH NG",
    "er": "ER",
    "ers": "ER Z",
    "ly": "L IY",
    "ness": "N AH S",
    "less": "L AH S",
    "ment": "M AH N T",
    "ish": "IH SH",
    "y": "IY",
    "'ll": "AH L",
    "'re": "ER",
    "'ve": "AH V",
    "'d": "D",
}


def pronounce(word: str, lookup: Lookup) -> list[str]:
    """Return phones for `word`; `lookup` gives those of known words, separated by spaces, or None.

    Tried in turn: a known word with an ending, two known words in one, letters spelled out where
    there is no vowel, spelling rules. Raises `DataError` if `word` has no letter a to z.
    """
    word = re.sub(r"[^a-z']", "", word.lower())
    letters = word.replace("'", "")
    if not letters:
        raise DataError(f"the transcript's {word!r} has no letters to pronounce")
    if not re.search("[aeiouy]", letters):
        return [phone for letter in letters for phone in _LETTERS[letter].split("+")]
    return _inflected(word, lookup) or _compound(letters, lookup) or spell(letters)


def spell(letters: str) -> list[str]:
    """Return phones for a word of letters a to z by spelling rules alone."""
    phones: list[str] = []
    place = 0
    while place < len(letters):
        length, found = _longest_spelling(letters, place)
        phones += [phone for phone in found.split("+") if phone]
        place += length
    return phones or [phone for letter in letters for phone in _LETTERS[letter].split("+")]


def _longest_spelling(letters: str, place: int) -> tuple[int, str]:
    """Return how many letters the best spelling takes at `place`, and its phones."""
    for length in range(min(_LONGEST, len(letters) - place), 0, -1):
        part = letters[place : place + length]
        start, end = place == 0, place + length == len(letters)
        silent_e = length == 1 and re.fullmatch(r"[^aeiouywx]es?", letters[place + 1 :])
        for key, fits in (
            (f"^{part}$", start and end),
            (f"{part}$", end),
            (f"^{part}", start),
            (f"{part}_", silent_e),
            (part, True),
        ):
            if fits and key in _SPELLINGS:
                return length, _SPELLINGS[key]
    raise AssertionError(f"no spelling for {letters[place:]!r}: every letter has one")


def _inflected(word: str, lookup: Lookup) -> list[str] | None:
    for ending in ("'s", "s'", "s", "es"):
        stem = _stem(word.removesuffix(ending), lookup) if word.endswith(ending) else None
        if stem:
            return stem + _after(stem, SIBILANTS, ["IH", "Z"], "S", "Z")
    if word.endswith("ed"):
        stem = (
            _known(word[:-1], lookup) or _known(word[:-2], lookup) or _undoubled(word[:-2], lookup)
        )
        if stem:
            return stem + _after(stem, {"T", "D"}, ["IH", "D"], "T", "D")
    for ending, sound in _ENDINGS.items():
        rest = word.removesuffix(ending)
        if rest == word:
            continue
        stem = _stem(rest, lookup) or _known(rest + "e", lookup) or _undoubled(rest, lookup)
        if stem:
            return stem + sound.split()
    return None


def _after(
    stem: list[str], alike: set[str], apart: list[str], voiceless: str, voiced: str
) -> list[str]:
    """Return how a plural or past ending sounds after `stem`."""
    if stem[-1] in alike:
        return apart
    return [voiceless if stem[-1] in VOICELESS | SIBILANTS - {"Z", "ZH", "JH"} else voiced]


def _undoubled(rest: str, lookup: Lookup) -> list[str] | None:
    doubled = len(rest) > SHORTEST_PART and rest[-1] == rest[-2]
    return _known(rest[:-1], lookup) if doubled else None


def _stem(word: str, lookup: Lookup) -> list[str] | None:
    return _known(word, lookup) or _compound(word, lookup)


def _known(word: str, lookup: Lookup) -> list[str] | None:
    phones = lookup(word) if len(word) >= SHORTEST_PART else None
    return phones.split() if phones else None


def _compound(letters: str, lookup: Lookup) -> list[str] | None:
    for cut in range(len(letters) - SHORTEST_PART, SHORTEST_PART - 1, -1):
        first, second = _known(letters[:cut], lookup), _known(letters[cut:], lookup)
        if first and second:
            return first + second
    return None
