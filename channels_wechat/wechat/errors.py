"""Failures of a WeChat call, sorted by whose move is next.

* WeChatError            nobody's yet: a code we do not know, kept word for word
  - WeChatUnavailable    time's: the same call may succeed later
    . RateLimited        the same, once the minute is over
    . TicketMissing      the same, once WeChat has pushed the platform a new ticket
  - QuotaUsedUp          midnight's (China time): the account's quota is used up
  - TokenRefused         ours: one fresh access token, then the same call again
  - ChannelRefused       the operator's: secret, IP whitelist, permission, punishment
  - TemplateRefused      the operator's: this template, for every recipient alike
  - RecipientRefused     the recipient's: not following, or not our openID
  - MessageRefused       the sender's: this one message's values
  - AlreadyAccepted      nobody's: WeChat has the message already

`CODES` is the only place that knows WeChat's numbers. Its texts are English and marked
for translation; whoever shows them translates them.

Source: the global return codes and the pages of each call,
https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
(read 2026-11).
"""

import re
from typing import ClassVar, NamedTuple


def gettext_noop(text: str) -> str:
    """Mark `text` for the translators; this package itself shows nothing to anyone."""
    return text


class WeChatError(Exception):
    """WeChat refused a call, or could not be asked.

    `errmsg` is WeChat's own text without its trailing request id, which is `rid`.
    `errcode` is None when no answer was understood. Holds no token, secret or URL.
    """

    retry_after_s: ClassVar[int | None] = None

    def __init__(self, errmsg: str, errcode: int | None = None, rid: str = "") -> None:
        super().__init__(errmsg, errcode, rid)  # every argument: workers pickle it
        self.errmsg, self.errcode, self.rid = errmsg, errcode, rid

    def __str__(self) -> str:
        code = "" if self.errcode is None else f" (errcode {self.errcode})"
        return f"{self.errmsg}{code}"


class WeChatUnavailable(WeChatError):
    """Time's move: WeChat is busy, unreachable or unreadable. Later may be better."""

    retry_after_s = 10


class RateLimited(WeChatUnavailable):
    """Too many calls in this minute. The whole account should wait."""

    retry_after_s = 60


class TicketMissing(WeChatUnavailable):
    """The third-party platform holds no usable ticket: WeChat pushes one every ten
    minutes, and once more when asked (api_start_push_ticket)."""

    retry_after_s = 30


class QuotaUsedUp(WeChatError):
    """A quota of the account is used up; daily ones start anew at China's midnight."""


class TokenRefused(WeChatError):
    """The access token is stale: renew it once and call again."""


class ChannelRefused(WeChatError):
    """The operator's move: nothing of this account passes until something changes."""


class TemplateRefused(WeChatError):
    """The operator's move: this template will pass for nobody."""


class RecipientRefused(WeChatError):
    """This recipient cannot be reached; others can."""


class MessageRefused(WeChatError):
    """This message's content is refused; others may pass."""


class AlreadyAccepted(WeChatError):
    """WeChat took this very message before: it counts as accepted, its id unknown."""


class Code(NamedTuple):
    """What one of WeChat's numbers means, and what to do about it (English, to be
    translated by whoever shows it; `advice` may be empty)."""

    errcode: int
    error: type[WeChatError]
    meaning: str
    advice: str


_ = gettext_noop

_LATER = _("Wait; it is tried again by itself.")
_SECRET = _(
    "Compare AppID and AppSecret with WeChat's console, 设置与开发 → 开发接口管理."
    " After a reset there, enter the new AppSecret here."
)
_TOKEN = _(
    "Compare AppID and AppSecret with WeChat's console, 设置与开发 → 开发接口管理."
    " If they are right, another system may keep demanding new access tokens of this"
    " account: wait some minutes and press Check."
)
_WHITELIST = _(
    "Add the address in WeChat's console, 设置与开发 → 开发接口管理 → IP白名单."
    " It works within minutes."
)
_CONFIRM_IP = _(
    "The account's administrator has to confirm our address: see WeChat's message"
    " on their phone, or add the address in WeChat's console, 设置与开发 →"
    " 开发接口管理 → IP白名单."
)
_PERMISSION = _(
    "Look in WeChat's console, 设置与开发 → 接口权限, whether the account may use this."
)
_PUNISHED = _("Read the notice in WeChat's console; appeal or wait until it is over.")
_TEMPLATE = _("Refresh the templates, then choose one that still exists.")
_LINK = _("Correct the link of the message.")
_CATEGORY = _("Choose one of the account's own industry or categories.")
_VALUE = _("Correct the value and send again to those it failed for.")
_OURS = _("A fault of this program. Please report it with the request id of the log.")
_TICKET = _(
    "WeChat pushes a ticket every ten minutes to the authorisation event URL. If none"
    " comes, press Start pushing tickets on the platform's page, and look whether that"
    " address, Token and key on open.weixin.qq.com are ours."
)
_AUTHORISE = _(
    "Open the channel, press Authorise again, and let the account's administrator scan."
)
_PLATFORM = _(
    "Compare AppID and AppSecret of the third-party platform on open.weixin.qq.com with"
    " this installation's WECHATTPP_COMPONENT_APP_ID and …_APP_SECRET."
)
_NONE = ""


def _table() -> dict[int, Code]:
    table: dict[int, Code] = {}

    def add(error: type[WeChatError], errcode: int, meaning: str, advice: str) -> None:
        table[errcode] = Code(errcode, error, meaning, advice)

    # Time's.
    add(WeChatUnavailable, -1, _("WeChat is busy."), _LATER)
    add(WeChatUnavailable, 20001, _("WeChat had an error of its own."), _LATER)
    add(WeChatUnavailable, 200001, _("WeChat had an error of its own."), _LATER)
    add(RateLimited, 45011, _("Too many calls in one minute."), _LATER)
    for errcode, meaning in (
        (40091, _("The platform's ticket is invalid.")),
        (61005, _("The platform's ticket has expired.")),
        (61006, _("The platform's ticket is invalid.")),
    ):
        add(TicketMissing, errcode, meaning, _TICKET)

    # The quota's.
    add(
        QuotaUsedUp,
        45009,
        _("The account's quota of today is used up."),
        _("It starts anew at midnight, China time. Continue then."),
    )
    add(QuotaUsedUp, 45028, _("No mass-sending quota is left."), _NONE)
    add(
        QuotaUsedUp,
        48006,
        _("Quotas were reset ten times this month already."),
        _("Wait until midnight, China time."),
    )

    # The token's.
    for errcode, meaning, advice in (
        (
            40001,
            _("The access token is not the latest, or the AppSecret is wrong."),
            _TOKEN,
        ),
        (40014, _("The access token is invalid."), _TOKEN),
        (42001, _("The access token has expired."), _TOKEN),
        (42006, _("The platform's access token has expired."), _LATER),
        (40094, _("The platform's access token is invalid."), _LATER),
        (41001, _("The access token is missing."), _TOKEN),
    ):
        add(TokenRefused, errcode, meaning, advice)

    # The operator's: the account.
    for errcode, meaning, advice in (
        (40002, _("WeChat does not know this kind of token request."), _OURS),
        (40013, _("There is no account with this AppID."), _SECRET),
        (40125, _("The AppSecret is wrong."), _SECRET),
        (40164, _("Our IP address is not in the account's IP whitelist."), _WHITELIST),
        (
            40243,
            _("The AppSecret is frozen."),
            _("Unfreeze it in WeChat's console, 设置与开发 → 开发接口管理."),
        ),
        (41002, _("The AppID is missing."), _SECRET),
        (41004, _("The AppSecret is missing."), _SECRET),
        (41018, _("The platform's AppID is missing."), _OURS),
        (41021, _("The platform's access token is missing."), _OURS),
        (
            42007,
            _("The authorisation ended: the password or the authorisation changed."),
            _AUTHORISE,
        ),
        (43104, _("The ability to send was taken from the account."), _PUNISHED),
        (43106, _("The account is being punished for breaking rules."), _PUNISHED),
        (48001, _("The account may not use this interface."), _PERMISSION),
        (48004, _("This interface was banned for the account."), _PUNISHED),
        (50001, _("The account has not authorised this interface."), _PERMISSION),
        (50002, _("The account is limited for breaking rules."), _PUNISHED),
        (50004, _("The account is disabled."), _PUNISHED),
        (50007, _("The account is frozen."), _PUNISHED),
        (
            61003,
            _("The account has not authorised this platform."),
            _AUTHORISE,
        ),
        (
            61004,
            _("Our IP address is not in the platform's IP whitelist."),
            _(
                "Add the address to the IP whitelist of the third-party platform on"
                " open.weixin.qq.com."
            ),
        ),
        (
            61007,
            _("The account has not granted this permission to the platform."),
            _(
                "Open the channel, press Authorise again, and let the account's"
                " administrator scan and leave every permission set ticked. If the set"
                " is not offered, choose it for the platform on open.weixin.qq.com."
            ),
        ),
        (61009, _("The authorisation code is invalid."), _("Authorise again.")),
        (61010, _("The authorisation code has expired."), _("Authorise again.")),
        (61011, _("WeChat does not know this third-party platform."), _PLATFORM),
        (61014, _("The platform's token is wanted here."), _OURS),
        (61015, _("The platform's token is not wanted here."), _OURS),
        (
            61023,
            _("The authorisation is no longer valid."),
            _AUTHORISE,
        ),
        (61024, _("The platform must use its own token call."), _OURS),
        (
            61028,
            _("The platform is not released and the account is not in its test list."),
            _(
                "Add the account to the platform's test list on open.weixin.qq.com, or"
                " release the platform (全网发布)."
            ),
        ),
        (89501, _("This address waits for the administrator."), _CONFIRM_IP),
        (89503, _("This address waits for the administrator."), _CONFIRM_IP),
        (89504, _("This address waits for the administrator."), _CONFIRM_IP),
        (89505, _("This address waits for the administrator."), _CONFIRM_IP),
        (
            89506,
            _("The administrator refused this address; nothing for 24 hours."),
            _CONFIRM_IP,
        ),
        (
            89507,
            _("The administrator refused this address; nothing for one hour."),
            _CONFIRM_IP,
        ),
        (
            200011,
            _("The account is banned; the service is suspended."),
            _PUNISHED,
        ),
        (200100, _("This kind of account may not do this."), _PERMISSION),
    ):
        add(ChannelRefused, errcode, meaning, advice)

    # The operator's: the template, and what is alike in every message of a send.
    for errcode, meaning, advice in (
        (40036, _("The template id is malformed."), _TEMPLATE),
        (40037, _("The account has no such template (any more)."), _TEMPLATE),
        (40165, _("The mini-program's path is invalid."), _LINK),
        (
            40166,
            _("The mini-program is not linked to the account."),
            _("Link it in WeChat's console or correct its AppID."),
        ),
        (40249, _("The content was blocked as illegal."), _PUNISHED),
        (
            40252,
            _("WeChat is reviewing the content."),
            _("Wait for the review, some hours, and send again."),
        ),
        (41028, _("The form id is invalid."), _LINK),
        (41029, _("The form id was used already."), _LINK),
        (41030, _("The page's path is invalid."), _LINK),
        (43116, _("The template is banned."), _PUNISHED),
        (
            45026,
            _("The account has 25 templates already."),
            _("Remove one first, here or in WeChat's console."),
        ),
        (
            40246,
            _("WeChat does not take these keywords."),
            _(
                "Write each keyword as WeChat's library has it, every one once, and not"
                " more than five."
            ),
        ),
        (
            40247,
            _("This is an old template, which can no longer be added."),
            _(
                "Take one of the account's categories instead: WeChat's console,"
                " 模板消息 → 模板库, shows its number."
            ),
        ),
        (45027, _("The template belongs to another industry."), _CATEGORY),
        (
            43100,
            _("The account changed its templates too often."),
            _("Wait; WeChat allows it once a month."),
        ),
        (
            200012,
            _("The account has as many subscribe-notifications as WeChat allows."),
            _("Remove one first: a service account may have 50."),
        ),
        (
            200013,
            _("WeChat has banned this title."),
            _("Choose another title of the library."),
        ),
        (200014, _("The library has no such title for this account."), _CATEGORY),
        (200018, _("No category was asked for."), _OURS),
        (
            200019,
            _("The category is not one of the account's."),
            _("Load the library again: the account's categories have changed."),
        ),
        (
            200020,
            _("WeChat does not take this choice of keywords."),
            _("Choose two to five keywords of the title, each once."),
        ),
        (
            200021,
            _("WeChat does not take this scene."),
            _("Describe in at most 15 characters when people are notified."),
        ),
        (
            200022,
            _("The account has this title with these keywords already."),
            _("Refresh the templates to see it, or choose other keywords."),
        ),
        (200002, _("WeChat does not take a parameter of this call."), _OURS),
        (200016, _("WeChat does not take this place in its list."), _OURS),
        (200017, _("WeChat does not take this length of a page."), _OURS),
    ):
        add(TemplateRefused, errcode, meaning, advice)

    # The recipient's.
    for errcode, meaning, advice in (
        (
            40003,
            _("The openID is malformed or belongs to another account."),
            _("Upload this recipient's openID of this account."),
        ),
        (
            43004,
            _("The recipient does not follow the account."),
            _("Only followers can be reached. Ask them to follow, then send again."),
        ),
        (
            43019,
            _("The recipient is on the account's blacklist."),
            _("Take them off it in WeChat's console, if they shall get messages."),
        ),
        (
            43101,
            _("The recipient refused, or no acceptance is left."),
            _("Ask the recipient to subscribe again."),
        ),
        (
            43117,
            _("Too many messages to this recipient."),
            _("Send again in some hours."),
        ),
        (
            45015,
            _("The recipient has not written to the account for too long."),
            _NONE,
        ),
        (45047, _("Too many service messages to this recipient."), _NONE),
        (46004, _("There is no such recipient."), _NONE),
        (48002, _("The recipient does not accept messages."), _NONE),
        (50005, _("The recipient does not follow the account."), _NONE),
    ):
        add(RecipientRefused, errcode, meaning, advice)

    # The sender's: one message.
    for errcode, meaning, advice in (
        (40008, _("WeChat does not know this kind of message."), _OURS),
        (20002, _("WeChat does not take a parameter of this message."), _VALUE),
        (40039, _("The link is too long."), _LINK),
        (45001, _("The content is too large."), _VALUE),
        (45002, _("The content is too long."), _VALUE),
        (45168, _("A value contains a forbidden word."), _VALUE),
        (47001, _("WeChat could not read the request."), _OURS),
        (47003, _("A value does not fit its field."), _VALUE),
    ):
        add(MessageRefused, errcode, meaning, advice)

    add(AlreadyAccepted, 40241, _("WeChat has this message already."), _NONE)
    return table


CODES: dict[int, Code] = _table()

# What authorising again mends, and nothing else does.
AUTHORISE_AGAIN = frozenset({42007, 61003, 61007, 61023})

# ` rid: 611740a4-27f9a8ba-065da01b`, older ` hint: [KJZfAa0644e575]`, and on sns calls
# `, hints: [ req_id: XXXX ]`: it differs on each answer and would keep errors apart.
_RID = re.compile(
    r"[,\s]*\b(?:rid:\s*(?P<rid>[0-9a-f]{8}(?:-[0-9a-f]{8}){2})"
    r"|hints?:\s*\[\s*(?:req_id:\s*)?(?P<hint>[^\]\s]*)\s*\])\s*\Z",
    re.IGNORECASE,
)
_IP = re.compile(r"(?:invalid ip|requestIP:?)\s+([0-9A-Fa-f.:]+)")


def explain(errcode: int | None) -> Code | None:
    """Return what `errcode` means, or None for a code we do not know."""
    return None if errcode is None else CODES.get(errcode)


def without_rid(errmsg: str) -> tuple[str, str]:
    """Split WeChat's text into (text, request id or hint); "" when there is none."""
    found = _RID.search(errmsg)
    if found is None:
        return errmsg.strip(), ""
    return errmsg[: found.start()].strip(), found["rid"] or found["hint"] or ""


def error_for(errcode: int | None, errmsg: str) -> WeChatError:
    """Return the error for WeChat's answer, of the class whose move is next.

    An unknown code gives a plain WeChatError, with WeChat's words.
    """
    text, rid = without_rid(errmsg)
    code = explain(errcode)
    return (code.error if code else WeChatError)(text, errcode, rid)


def requested_ip(errmsg: str) -> str | None:
    """Return the address WeChat saw us at, out of the text of a 40164 or 61004."""
    found = _IP.search(errmsg)
    return found[1] if found else None
