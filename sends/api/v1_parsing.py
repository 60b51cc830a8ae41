"""What a JUMS client may send: one pass over the body, every error with its field.

Lenient where real clients are: numbers where texts are expected, empty texts as absent,
`"0"` for 0, `app_id` for `appid`; strict about everything else.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from typing import Any, Final

from django.utils.translation import gettext as _

from channels_wechat import refusals
from channels_wechat.refusals import ILLEGAL, Refused, illegal
from sends.requested import IDS_AT_MOST, Message, Options, Targets
from templates_mgmt.models import Template
from users import audiences, rows

# Channel types that this build has no channel for: each with its own code.
ELSEWHERE: Final = {
    "app": refusals.NO_APP,
    "sms": refusals.NO_SMS,
    "wechatmp": refusals.NO_MINIPROGRAM,
    "email": refusals.NO_EMAIL,
    "alipay_life": refusals.NO_ALIPAY,
    "dingtalk_cc": refusals.NO_DINGTALK,
    "wechatwk": ILLEGAL,
    "wechatwk_linkedcorp": ILLEGAL,
}
MESSAGES: Final = {"wechatoa"}
AUDIENCES: Final = {"wechatoa", "userid", "tag", "segment"}
TAGS_AT_MOST: Final = 20
# Opening a longer link is refused by WeChat; the column is as long.
LINK_AT_MOST: Final = 1000
# The values of `type`.
_KINDS: Final = {"0": Template.Kind.TEMPLATE, "1": Template.Kind.SUBSCRIBE}


def body_of(value: Any) -> dict[str, Any]:
    """Return the request's object. Raises Refused."""
    if not isinstance(value, dict):
        raise Refused(ILLEGAL, _("The body must be a JSON object."))
    return value


def targets(body: Mapping[str, Any]) -> Targets:
    """Return the audience of a request to given targets. Raises Refused."""
    _only_ours(body, "aud_", AUDIENCES)
    found = Targets(
        _ids(
            body, "aud_userid", IDS_AT_MOST, rows.is_userid, refusals.TOO_MANY_USERIDS
        ),
        _ids(body, "aud_tag", TAGS_AT_MOST, rows.is_tag),
        _segment(body),
        _openids(body),
    )
    if found.by_user and found.openids:
        raise illegal(
            "aud_wechatoa",
            _("cannot be combined with aud_userid, aud_tag and aud_segment."),
        )
    if not found.by_user and not found.openids:
        raise Refused(
            ILLEGAL,
            _("Nobody to send to: aud_userid, aud_tag, aud_segment or aud_wechatoa."),
        )
    return found


def options(body: Mapping[str, Any]) -> Options:
    """Return option, callback and rule_id of a request. Raises Refused."""
    option = _object(body, "option")
    callback = _object(body, "callback")
    black_id = _number(option, "black_id", "option.")
    white_id = _number(option, "white_id", "option.")
    if black_id is not None and white_id is not None:
        raise Refused(
            refusals.BOTH_LISTS, _("option: black_id and white_id exclude each other.")
        )
    priority = _number(option, "priority", "option.")
    if priority not in (None, 1, 2, 3):
        raise illegal("option.priority", _("1, 2 or 3."))
    for name in ("canary", "skip_unreachable"):
        if not isinstance(option.get(name, False), bool):
            raise illegal(f"option.{name}", _("true or false."))
    params = callback.get("params")
    if params is not None and not isinstance(params, dict):
        raise illegal("callback.params", _("must be an object."))
    return Options(
        sendno=_text(option, "sendno", 100, "option."),
        owner=_text(option, "owner", 150, "option."),
        black_id=black_id,
        white_id=white_id,
        priority=priority or 2,
        rule_id=_number(body, "rule_id") or 0,
        canary=option.get("canary") is True,
        skip_unreachable=option.get("skip_unreachable", True),
        callback_url=_text(callback, "url", 500, "callback."),
        callback_params=params,
    )


def messages(body: Mapping[str, Any]) -> list[Message]:
    """Return the messages of an ordinary request. Raises Refused."""
    _only_ours(body, "msg_", MESSAGES)
    given = body.get("msg_wechatoa")
    if isinstance(given, dict):
        given = [given]
    if not isinstance(given, list) or not given:
        raise illegal("msg_wechatoa", _("must be a list of messages."))
    if len(given) > 10:
        raise illegal("msg_wechatoa", _("10 messages at most."))
    return [
        _message(item, f"msg_wechatoa[{number}]") for number, item in enumerate(given)
    ]


def no_messages(body: Mapping[str, Any]) -> None:
    """Refuse msg_… in a request for a general template."""
    for name, value in body.items():
        if name.startswith("msg_") and value is not None:
            raise Refused(
                refusals.MSG_NOT_ALLOWED, f"{name}: " + _("not in a template send.")
            )


def template_number(body: Mapping[str, Any]) -> int:
    """Return the general template's number. Raises Refused."""
    number = _number(body, "template_id")
    if number is None:
        raise illegal("template_id", _("is missing."))
    return number


def parameters(body: Mapping[str, Any]) -> dict[str, str]:
    """Return template_para as texts. Raises Refused."""
    given = _object(body, "template_para")
    return {
        name: _as_text(value, f"template_para.{name}") for name, value in given.items()
    }


def _only_ours(body: Mapping[str, Any], prefix: str, ours: Set[str]) -> None:
    """Refuse messages and audiences of channels that this system does not have; empty
    ones say nothing."""
    for name, value in body.items():
        kind = name.removeprefix(prefix)
        if value and name.startswith(prefix) and kind not in ours:
            raise Refused(
                ELSEWHERE.get(kind, ILLEGAL),
                f"{name[:60]}: " + _("this system has no such channel."),
            )


def _message(item: Any, name: str) -> Message:
    if not isinstance(item, dict):
        raise illegal(name, _("must be an object."))
    type_ = item.get("type")
    kind = _KINDS.get("0" if type_ in (None, "") else str(type_))
    if kind is None:
        raise illegal(
            f"{name}.type",
            _("0, a template message, or 1, a subscribe-notification."),
        )
    data = item.get("data")
    if not isinstance(data, dict) or not data:
        raise illegal(f"{name}.data", _("must be an object of fields."))
    program = item.get("miniprogram")
    if program in (None, ""):
        program = {}
    if not isinstance(program, dict):
        raise illegal(f"{name}.miniprogram", _("must be an object."))
    # Some clients flatten WeChat's table, some use Go's field names.
    program = {
        "appid": program.get("appid") or program.get("app_id") or item.get("appid"),
        "pagepath": program.get("pagepath")
        or program.get("page_path")
        or item.get("pagepath"),
    }
    appid = _text(program, "appid", 32, f"{name}.miniprogram.")
    template_id = _text(item, "template_id", 64, f"{name}.")
    if not template_id:
        raise illegal(f"{name}.template_id", _("is missing."))
    link = "page" if kind == Template.Kind.SUBSCRIBE else "url"
    url = _text(item, link, LINK_AT_MOST, f"{name}.")
    if url and not re.match(r"https?://[^\s/]", url):
        raise illegal(f"{name}.{link}", _("must begin with http:// or https://."))
    return Message(
        name,
        template_id,
        {key: _value(value, f"{name}.data.{key}") for key, value in data.items()},
        url,
        appid,
        _text(program, "pagepath", LINK_AT_MOST, f"{name}.miniprogram.")
        if appid
        else "",
        kind,
    )


def _value(value: Any, name: str) -> str:
    if isinstance(value, dict):
        value = value.get("value")
    return _as_text(value, name)


def _as_text(value: Any, name: str) -> str:
    if isinstance(value, str):
        if "\0" in value:
            raise illegal(name, _("has a NUL character."))
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value) if isinstance(value, float) else str(value)
    if value is None:
        return ""
    raise illegal(name, _("must be a text."))


def _text(of: Mapping[str, Any], key: str, limit: int, prefix: str = "") -> str:
    text = _as_text(of.get(key), prefix + key).strip()
    if len(text) > limit:
        raise illegal(
            prefix + key, _("%(limit)d characters at most.") % {"limit": limit}
        )
    return text


def _number(of: Mapping[str, Any], key: str, prefix: str = "") -> int | None:
    value = of.get(key)
    if value in (None, ""):
        return None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        return int(value)
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not 0 <= value < 1 << 62
    ):
        raise illegal(prefix + key, _("must be a whole number."))
    return value


def _object(of: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = of.get(key)
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise illegal(key, _("must be an object."))
    return value


def _ids(
    body: Mapping[str, Any],
    name: str,
    limit: int,
    fits: Callable[[str], bool],
    too_many: int = ILLEGAL,
) -> list[str]:
    """Return a list of ids, each once. Walks it only to name a bad one."""
    given = body.get(name)
    if given is None:
        return []
    if not isinstance(given, list):
        raise illegal(name, _("must be a list."))
    if len(given) > limit:
        raise Refused(
            too_many, f"{name}: " + _("%(limit)d at most.") % {"limit": limit}
        )
    return _checked(given, name, fits)


def _checked(given: Sequence[Any], name: str, fits: Callable[[str], bool]) -> list[str]:
    if fits is rows.is_userid:
        with suppress(audiences.BadUserID):
            return audiences.checked(given)
    if not all(isinstance(item, str) for item in given):
        given = [
            str(item) if isinstance(item, int) and not isinstance(item, bool) else item
            for item in given
        ]
    for number, item in enumerate(given):
        if not isinstance(item, str) or not fits(item):
            raise illegal(f"{name}[{number}]", _("is not a valid id."))
    return list(dict.fromkeys(given))


def _segment(body: Mapping[str, Any]) -> int | None:
    given = body.get("aud_segment")
    if given in (None, []):
        return None
    if not isinstance(given, list) or len(given) != 1:
        raise illegal("aud_segment", _("must be a list of one id."))
    return _number({"aud_segment[0]": given[0]}, "aud_segment[0]")


def _openids(body: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    given = body.get("aud_wechatoa")
    if given is None:
        return []
    if not isinstance(given, list):
        raise illegal("aud_wechatoa", _("must be a list."))
    found = []
    for number, item in enumerate(given):
        name = f"aud_wechatoa[{number}]"
        if not isinstance(item, dict) or not isinstance(item.get("data"), list):
            raise illegal(name, _("must be an object with a list `data`."))
        if len(item["data"]) > IDS_AT_MOST:
            raise illegal(
                f"{name}.data", _("%(limit)d at most.") % {"limit": IDS_AT_MOST}
            )
        openids = _checked(item["data"], f"{name}.data", rows.is_openid)
        if openids:
            found.append((_text(item, "instance", 64, f"{name}."), openids))
    return found
