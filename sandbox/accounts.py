"""Official Accounts as WeChat holds them: people, templates, callback, quotas."""

import ipaddress
import re
import secrets
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from channels_wechat.wechat.crypto import MessageCrypt

from . import values
from .people import BLACKLISTED, BLOCKS, FOLLOWS, openid

SEND = "/cgi-bin/message/template/send"
BIZSEND = "/cgi-bin/message/subscribe/bizsend"
# New accounts' daily limits; a test account has about a tenth. Source:
# developers.weixin.qq.com/doc/offiaccount/Message_Management/API_Call_Limits.html
DAILY_LIMITS = {
    "service": {
        "/cgi-bin/token": 2000,
        "/cgi-bin/stable_token": 500_000,
        "/cgi-bin/user/get": 500,
        "/cgi-bin/user/info": 5_000_000,
        "/cgi-bin/user/info/batchget": 5_000_000,
        "/cgi-bin/message/custom/send": 500_000,
        SEND: 100_000,
    },
    "test": {
        "/cgi-bin/token": 200,
        "/cgi-bin/stable_token": 50_000,
        "/cgi-bin/user/get": 100,
        "/cgi-bin/user/info": 500_000,
        "/cgi-bin/user/info/batchget": 500_000,
        "/cgi-bin/message/custom/send": 50_000,
        SEND: 10_000,
    },
}
# A subscription account and a mini-program have no template messages at all.
DAILY_LIMITS["subscription"] = DAILY_LIMITS["miniprogram"] = {
    path: limit for path, limit in DAILY_LIMITS["service"].items() if path != SEND
}
_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]+\d*)\.DATA\s*\}\}")
# Of calls whose limit WeChat's pages do not state.
UNSTATED_LIMIT = 1_000_000
TEMPLATE_LIMIT = 25
TEST_CANNOT = (
    "subscribe_notifications",
    "template_library",
    "typed_values",
    "ip_whitelist",
    "encrypted_callback",
    "platform",
    "publishing",
)


@dataclass
class Template:
    template_id: str
    title: str
    content: str
    example: str = ""
    primary_industry: str = ""
    deputy_industry: str = ""
    listed: dict[str, list[str]] = field(default_factory=dict)
    banned: bool = False

    @cached_property
    def fields(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """(key, type or "", values allowed) of each field in order."""
        return tuple(
            (key, values.value_type(key), tuple(self.listed.get(key, ())))
            for key in _PLACEHOLDER.findall(self.content)
        )

    @cached_property
    def checks(self) -> tuple[tuple[str, values.Check, tuple[str, ...]], ...]:
        """(key, check of its type, values allowed) of each typed field."""
        return tuple(
            (key, values.CHECKS[kind], listed)
            for key, kind, listed in self.fields
            if kind
        )

    @cached_property
    def is_typed(self) -> bool:
        """Whether this is a category template, whose values are checked."""
        return bool(self.fields) and all(kind for _key, kind, _listed in self.fields)

    def rows(self, data: dict[str, Any], kind: str) -> list[tuple[str, str]]:
        """(label, text) of each line as a phone shows it.

        Since May 2023 `first` and `remark` are dropped, and long values of
        historical templates and of test accounts (`kind`) are cut.
        """
        whole = self.is_typed and kind != "test"
        shown = []
        for line in self.content.split("\n"):
            match = _PLACEHOLDER.search(line)
            if not match or match[1] in ("first", "remark"):
                continue
            label = line[: match.start()].strip().rstrip(":：").strip()
            value = value_text(data.get(match[1]))
            text = value if whole else values.cut(value)
            # A line without text before its field is hidden.
            if label:
                shown.append((label, text))
        return shown

    def listing(self) -> dict[str, str]:
        return {
            "template_id": self.template_id,
            "title": self.title,
            "primary_industry": self.primary_industry,
            "deputy_industry": self.deputy_industry,
            "content": self.content,
            "example": self.example,
        }


def value_text(part: object) -> str:
    """Return the text of one `data` entry: `{"value": …}`, or a bare value."""
    value = part.get("value", "") if isinstance(part, dict) else part
    return "" if value is None else str(value)


@dataclass
class Callback:
    """Where an account's receipts and events go ("server configuration")."""

    url: str
    token: str
    encoding_aes_key: str = ""
    mode: str = "plain"
    format: str = "xml"
    enabled: bool = True
    checked: str = ""

    def crypt(self, appid: str) -> MessageCrypt:
        return MessageCrypt(self.token, self.encoding_aes_key, appid)


@dataclass
class Account:
    appid: str
    secret: str
    original_id: str
    name: str
    kind: str = "service"
    verified: bool = True
    # None: not enforced. A test account has none.
    ip_whitelist: list[str] | None = None
    callback: Callback | None = None
    templates: dict[str, Template] = field(default_factory=dict)
    miniprograms: list[str] = field(default_factory=list)
    # openid -> number << 3 | FOLLOWS, BLOCKS, BLACKLISTED
    people: dict[str, int] = field(default_factory=dict)
    following: int = 0
    limits: dict[str, int] = field(default_factory=dict)
    industries: tuple[int, int] = (1, 2)
    industry_changed_at: float = 0.0
    # Switches for refusals a whole account meets: 48001, 48004, 50007…
    refuses: int = 0
    used: dict[str, int] = field(default_factory=dict)
    day: int = 0
    clears_left: int = 10

    def add_people(self, count: int) -> None:
        first = len(self.people) + 1
        for n in range(first, first + count):
            self.people[openid(self.appid, n)] = n << 3 | FOLLOWS
        self.following += max(count, 0)

    def flag(self, of: str, flags: int, on: bool) -> None:
        """Set or clear FOLLOWS, BLOCKS or BLACKLISTED of an openid we know."""
        before = self.people[of]
        after = self.people[of] = before | flags if on else before & ~flags
        self.following += (after & FOLLOWS) - (before & FOLLOWS)

    def followers(self) -> list[str]:
        return [of for of, state in self.people.items() if state & FOLLOWS]

    def limit(self, path: str) -> int:
        stated = DAILY_LIMITS[self.kind].get(path, UNSTATED_LIMIT)
        return self.limits.get(path, stated)

    def used_today(self, path: str, now: float) -> int:
        self._begin_day(now)
        return self.used.get(path, 0)

    def _begin_day(self, now: float) -> None:
        day = int(now + 8 * 3600) // 86400  # midnight China time
        if day != self.day:
            self.day = day
            self.used.clear()

    def spend(self, path: str, now: float) -> bool:
        """Count a call; False when the day's limit was reached before it."""
        used = self.used_today(path, now)
        if used >= self.limit(path):
            return False
        self.used[path] = used + 1
        return True

    def allows(self, ip: str) -> bool:
        return self.kind == "test" or is_listed(ip, self.ip_whitelist)

    @property
    def may_notify(self) -> bool:
        """Templates and notices are for verified service accounts (else 48001)."""
        return self.kind in ("service", "test") and self.verified

    @property
    def cannot(self) -> list[str]:
        """What a test account (测试号) lacks, as words for pages and tests."""
        return [*TEST_CANNOT] if self.kind == "test" else []


def networks(entries: Any) -> list[str] | None:
    """Return an IP whitelist of addresses and networks. Raises ValueError."""
    for entry in entries or ():
        ipaddress.ip_network(entry, strict=False)
    return None if entries is None else [str(e) for e in entries]


def is_listed(ip: str, whitelist: list[str] | None) -> bool:
    """Whether an address is in an IP whitelist; None is not enforced."""
    if whitelist is None:
        return True
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    return any(
        address in ipaddress.ip_network(entry, strict=False) for entry in whitelist
    )


def new_template_id() -> str:
    return secrets.token_urlsafe(33)[:43]


DEMO_APPID = "wx5a0db0c5e7000001"
_PEOPLE = 3030


def demo_account() -> Account:
    """Return the bundled account: 3,000 followers, 30 who left, 30 who block.

    Every openid is `people.openid(DEMO_APPID, n)` for n in 1…3030. Whoever left has
    n % 101 == 50, whoever refuses messages n % 101 == 77; three are blacklisted.
    """
    account = Account(
        appid=DEMO_APPID,
        secret="5a0db0c5e70000015a0db0c5e7000001",
        original_id="gh_5a0db0c50001",
        name="云杉生活 Spruce Living",
        ip_whitelist=[
            "127.0.0.1",
            "::1",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
        ],
        miniprograms=["wx5a0db0c5e70000a1"],
    )
    account.add_people(_PEOPLE)
    for n in range(1, _PEOPLE + 1):
        of = openid(DEMO_APPID, n)
        if n % 101 == 50:
            account.flag(of, FOLLOWS, False)
        elif n % 101 == 77:
            account.flag(of, BLOCKS, True)
        elif n % 1010 == 1000:
            account.flag(of, BLACKLISTED, True)
    for template in demo_templates():
        account.templates[template.template_id] = template
    return account


def demo_templates() -> list[Template]:
    return [
        Template(
            "tSBshipped0001kQ7vXw2Yh9Lr4Jd8Nf3Gm6Pz1Cb5E",
            "订单发货通知",
            "商品名称:{{thing4.DATA}}\n订单编号:{{character_string1.DATA}}\n"
            "发货时间:{{time3.DATA}}\n订单金额:{{amount8.DATA}}\n"
            "快递公司:{{phrase12.DATA}}\n",
            "商品名称:云杉手冲咖啡豆\n订单编号:SP20260508001\n"
            "发货时间:2026年5月8日 10:00\n订单金额:¥128.00\n快递公司:顺丰速运\n",
        ),
        Template(
            "tSBpayment0002hM3cTq8Rn5Wk1Vb7Xs4Za9Ju2Fy6D",
            "物业缴费提醒",
            "户主姓名:{{thing2.DATA}}\n联系电话:{{phone_number5.DATA}}\n"
            "车牌号码:{{car_number9.DATA}}\n应缴金额:{{amount3.DATA}}\n"
            "截止时间:{{time6.DATA}}\n缴费状态:{{const7.DATA}}\n",
            "户主姓名:林晓\n联系电话:138-0000-0000\n车牌号码:粤B12345\n"
            "应缴金额:¥320.50\n截止时间:2026年6月1日 18:00\n缴费状态:待缴费\n",
            listed={"const7": ["待缴费", "已缴费", "已逾期"]},
        ),
        Template(
            "tSBmeeting0003pB6nKx4Dv9Sc2Ht7Gw5Qe1Lm8Ry3U",
            "会议预约提醒",
            "会议主题:{{thing1.DATA}}\n会议时间:{{time2.DATA}}\n"
            "会议地点:{{thing3.DATA}}\n",
            "会议主题:周会\n会议时间:2026年5月8日 10:00\n会议地点:三楼会议室\n",
        ),
        Template(
            "tSBhistory0004aF2gJz8Yk6Pb3Nq9Cx7Vt4Es1Wd5M",
            "订单状态更新",
            "{{first.DATA}}\n订单编号：{{keyword1.DATA}}\n订单状态：{{keyword2.DATA}}\n"
            "{{remark.DATA}}",
            "您好，您的订单有新进展。\n订单编号：SP20260508001\n订单状态：配送中\n"
            "感谢您的支持。",
            "IT科技",
            "互联网|电子商务",
        ),
    ]


def account_from(body: dict[str, Any]) -> Account:
    """Return a new account as the control API describes it; made-up values fill gaps.

    Raises ValueError with a sentence.
    """
    appid = str(body.get("appid") or "wx" + secrets.token_hex(8))
    if not re.fullmatch(r"wx[0-9a-z]{16}", appid):
        raise ValueError("appid: wx and 16 hex digits")
    account = Account(
        appid=appid,
        secret=str(body.get("secret") or secrets.token_hex(16)),
        original_id=str(body.get("original_id") or "gh_" + secrets.token_hex(6)),
        name=str(body.get("name") or appid),
    )
    change(account, {"ip_whitelist": None, **body})
    account.add_people(int(body.get("followers", 100)))
    if "templates" not in body:
        account.templates = {t.template_id: t for t in demo_templates()}
    return account


def change(account: Account, body: dict[str, Any]) -> None:
    """Apply what a control call names. Raises ValueError with a sentence."""
    try:
        _change(account, body)
    except (AttributeError, TypeError) as wrong:
        raise ValueError(f"account: {wrong}") from None


def _change(account: Account, body: dict[str, Any]) -> None:
    if "kind" in body:
        if body["kind"] not in DAILY_LIMITS:
            raise ValueError(f"kind: one of {', '.join(DAILY_LIMITS)}")
        account.kind = body["kind"]
    if "verified" in body:
        account.verified = body["verified"] is True
    for key in ("secret", "original_id", "name"):
        if body.get(key):
            setattr(account, key, str(body[key]))
    if "ip_whitelist" in body:
        account.ip_whitelist = networks(body["ip_whitelist"])
    if "callback" in body:
        account.callback = callback_from(body["callback"])
    if "limits" in body:
        account.limits.update({str(k): int(v) for k, v in body["limits"].items()})
    if "used" in body:
        account.day = int(time.time() + 8 * 3600) // 86400
        account.used.update({str(k): int(v) for k, v in body["used"].items()})
    if "refuses" in body:
        account.refuses = int(body["refuses"] or 0)
    if "miniprograms" in body:
        account.miniprograms = [str(m) for m in body["miniprograms"]]
    if "templates" in body:
        made = [template_from(t) for t in body["templates"]]
        account.templates = {t.template_id: t for t in made}


def template_from(body: dict[str, Any]) -> Template:
    """Return a template as the control API describes it. Raises ValueError."""
    known = {"template_id": new_template_id(), **body}
    for name, value in known.items():
        if name not in ("listed", "banned") and not isinstance(value, str):
            raise ValueError(f"template.{name}: a text")
    try:
        return Template(**known)
    except TypeError as refused:
        raise ValueError(f"template: {refused}") from None


def callback_from(body: dict[str, Any] | None) -> Callback | None:
    if not body:
        return None
    try:
        callback = Callback(**body)
    except TypeError as refused:
        raise ValueError(f"callback: {refused}") from None
    if not re.match(r"https?://[^/\s]+", callback.url):
        raise ValueError("callback.url: starts with http:// or https://")
    if not re.fullmatch(r"[A-Za-z0-9]{3,32}", callback.token):
        raise ValueError("callback.token: 3 to 32 letters and digits")
    if callback.mode not in ("plain", "compatible", "safe"):
        raise ValueError("callback.mode: plain, compatible or safe")
    if callback.format not in ("xml", "json"):
        raise ValueError("callback.format: xml or json")
    if callback.mode != "plain" and not re.fullmatch(
        r"[A-Za-z0-9]{43}", callback.encoding_aes_key
    ):
        raise ValueError("callback.encoding_aes_key: 43 letters and digits")
    return callback
