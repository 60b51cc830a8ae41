"""A template's message, compiled once per send and rendered in well under a microsecond
a field per recipient.

The body of a message is the same for everyone but for the openID, the client_msg_id and
the placeholders, so everything else is turned into pieces of ready JSON beforehand.
Template messages and subscribe-notifications differ in the link's name (`url`, `page`)
and in that the latter have no client_msg_id.

Source: https://developers.weixin.qq.com/doc/offiaccount/Message_Management/
Template_Message_Interface.html and .../Subscription_Messages/api.html (read 2026-11).
"""

import re
from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any

from .limits import Kind

PLACEHOLDER = re.compile(r"\{\{\s*([^\s{}](?:[^{}]*[^\s{}])?)\s*\}\}")


def placeholders(text: str) -> list[str]:
    """Return the names in `{{name}}`, in order of appearance, each once."""
    return list(dict.fromkeys(PLACEHOLDER.findall(text)))


def fill(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with each `{{name}}` replaced; a name that is absent becomes ""."""
    return PLACEHOLDER.sub(lambda found: variables.get(found[1], ""), text)


def _pieces(value: Mapping[str, Any] | str) -> Iterator[tuple[str, str]]:
    """Cut `value`, as JSON, into (constant, name of the placeholder after it), the last
    name being ""."""
    if isinstance(value, str):
        # Cut before JSON escapes: a name may hold a quote as well.
        constant, *rest = PLACEHOLDER.split(value)
        yield '"', ""
        yield _escaped(constant), ""
        for name, constant in zip(rest[::2], rest[1::2], strict=True):
            yield "", name
            yield _escaped(constant), ""
        yield '"', ""
        return
    before = "{"
    for key, inner in value.items():
        yield f"{before}{encode_basestring(key)}:", ""
        yield from _pieces(inner)
        before = ","
    yield "}" if value else "{}", ""


def _escaped(text: str) -> str:
    """Return `text` as it stands inside a JSON string, raw UTF-8 as WeChat wants it:
    some of its clients show `\\u4f60` literally."""
    return encode_basestring(text)[1:-1]


class CompiledMessage:
    """A message with `{{name}}` placeholders in its values and links.

    `data` gives each key of the template its text. `url` and `miniprogram_*` are left
    out of the message when they are empty; with both, WeChat prefers the mini-program.
    """

    __slots__ = (
        "_first",
        "_rest",
        "data",
        "miniprogram_appid",
        "miniprogram_path",
        "names",
        "template_id",
        "url",
    )

    def __init__(
        self,
        template_id: str,
        data: Mapping[str, str],
        url: str = "",
        miniprogram_appid: str = "",
        miniprogram_path: str = "",
        kind: Kind = "template",
    ) -> None:
        self.template_id = template_id
        self.data = dict(data)
        self.url = url
        self.miniprogram_appid = miniprogram_appid
        self.miniprogram_path = miniprogram_path
        message: dict[str, Any] = {"template_id": template_id}
        if url:
            message["page" if kind == "subscribe" else "url"] = url
        if miniprogram_appid:
            miniprogram = {"appid": miniprogram_appid}
            if miniprogram_path:
                miniprogram["pagepath"] = miniprogram_path
            message["miniprogram"] = miniprogram
        message["data"] = {key: {"value": text} for key, text in self.data.items()}
        names: list[str] = []
        constants = [""]
        for constant, name in _pieces(message):
            constants[-1] += constant
            if name:
                names.append(name)
                constants.append("")
        self._first = constants[0][1:]  # the opening brace comes with the openID
        self._rest = list(zip(names, constants[1:], strict=True))
        self.names = list(dict.fromkeys(names))

    def render(
        self, openid: str, client_msg_id: str, variables: Mapping[str, str]
    ) -> bytes:
        """Return the request's body for one recipient.

        `client_msg_id` "" leaves the key out (WeChat then cannot recognise a repeat). A
        variable that is absent becomes "".
        """
        escape = encode_basestring  # C, quotes included
        parts = ['{"touser":', escape(openid), ","]
        if client_msg_id:
            parts += ('"client_msg_id":', escape(client_msg_id), ",")
        parts.append(self._first)
        for name, constant in self._rest:
            parts.append(escape(variables.get(name, ""))[1:-1])
            parts.append(constant)
        # Half a surrogate pair, which JSON can smuggle in, becomes a question mark.
        return "".join(parts).encode("utf-8", "replace")

    def values(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return what each key of the template will show, for previews and checks."""
        return {key: fill(text, variables) for key, text in self.data.items()}
