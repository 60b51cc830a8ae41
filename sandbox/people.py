"""The people of the sandbox: openids that follow from a number, names and faces."""

import base64
import hashlib
from typing import NamedTuple

FOLLOWS, BLOCKS, BLACKLISTED = 1, 2, 4


def openid(appid: str, n: int) -> str:
    """Return the openid of person `n` (from 1) of an account: 28 characters.

    The same appid and number always give the same openid, so sample files can be made
    without asking a running sandbox.
    """
    digest = hashlib.blake2b(f"{appid}:{n}".encode(), digest_size=19).digest()
    return "oSB" + base64.urlsafe_b64encode(digest)[:25].decode()


class Person(NamedTuple):
    """What the phone page shows of someone; looks are indices into the page's CSS."""

    name_zh: str
    name_en: str
    skin: int
    hair: int
    hair_colour: int
    shirt: int
    background: int


# The first ones are meant to be recognised again; everyone else is made from a number.
_KNOWN = (
    Person("林晓", "Lin Xiao", 0, 1, 0, 0, 0),
    Person("王建国", "Wang Jianguo", 1, 4, 3, 3, 1),
    Person("陈雨桐", "Chen Yutong", 0, 2, 1, 4, 2),
    Person("张伟", "Zhang Wei", 2, 0, 0, 1, 3),
    Person("刘奶奶", "Granny Liu", 1, 3, 4, 5, 4),
    Person("赵思远", "Zhao Siyuan", 2, 5, 2, 2, 5),
    Person("孙悦", "Sun Yue", 0, 6, 1, 6, 6),
    Person("周师傅", "Master Zhou", 3, 7, 0, 7, 7),
)
_SURNAMES = (
    ("李", "Li"),
    ("黄", "Huang"),
    ("吴", "Wu"),
    ("徐", "Xu"),
    ("何", "He"),
    ("郭", "Guo"),
    ("马", "Ma"),
    ("罗", "Luo"),
    ("梁", "Liang"),
    ("宋", "Song"),
    ("唐", "Tang"),
)
_GIVEN = (
    ("子涵", "Zihan"),
    ("欣怡", "Xinyi"),
    ("浩然", "Haoran"),
    ("明", "Ming"),
    ("佳琪", "Jiaqi"),
    ("志强", "Zhiqiang"),
    ("丽", "Li"),
    ("俊杰", "Junjie"),
    ("梦", "Meng"),
    ("文博", "Wenbo"),
    ("雅", "Ya"),
    ("磊", "Lei"),
    ("诗", "Shi"),
)


def person(n: int) -> Person:
    """Return the looks of person `n` (from 1)."""
    if n <= len(_KNOWN):
        return _KNOWN[n - 1]
    surname, given = _SURNAMES[n % 11], _GIVEN[n % 13]
    return Person(
        surname[0] + given[0],
        f"{surname[1]} {given[1]}",
        n * 7 % 4,
        n * 5 % 8,
        n * 3 % 5,
        n * 11 % 8,
        n % 8,
    )
