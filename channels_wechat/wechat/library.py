"""WeChat's public template library, from which an account's templates are added.

Source: https://developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/api.html
and .../Message_Management/Template_Message_Interface.html (read 2026-11).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from . import errors
from .calls import number_of, objects_of, text_of, to_json

TITLES_AT_ONCE = 30
MIN_KEYWORDS, MAX_KEYWORDS = 2, 5
MAX_SCENE = 15
# `type` of a subscribe-notification's template; the other one is 2, one-time.
LONG_TERM = 3


class Category(NamedTuple):
    """A category (类目) of the account; its titles can be had."""

    id: int
    name: str


class Title(NamedTuple):
    """A public template. `category` is the id of its category, 0 when not told."""

    tid: str
    title: str
    long_term: bool
    category: int


class Keyword(NamedTuple):
    """A field that a title offers; `type` is the type of its values."""

    kid: int
    name: str
    example: str
    type: str

    @property
    def key(self) -> str:
        """The key the field has in the template's content."""
        return f"{self.type}{self.kid}"


class TitlePage(NamedTuple):
    """Some titles, and how many there are in all."""

    titles: list[Title]
    total: int


class LibraryCalls:
    """The calls of the public library: a part of `client.Client`.

    All of them raise the classes of `errors`; TemplateRefused is a choice that WeChat
    does not take.
    """

    def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> dict[str, Any]:
        raise NotImplementedError

    def categories(self) -> list[Category]:
        """Return the account's categories."""
        return [
            Category(number_of(item, "id"), text_of(item, "name"))
            for item in self._data("getcategory", {})
        ]

    def public_titles(self, categories: Sequence[int], start: int) -> TitlePage:
        """Return up to 30 titles of these categories from record `start` on."""
        path = "/wxaapi/newtmpl/getpubtemplatetitles"
        params = {
            "ids": ",".join(map(str, categories)),
            "start": str(start),
            "limit": str(TITLES_AT_ONCE),
        }
        answer = self._call("GET", path, params)
        titles = [
            Title(
                str(number_of(item, "tid")),
                text_of(item, "title"),
                number_of(item, "type") == LONG_TERM,
                # A text in WeChat's sample, a number in its table.
                number_of(item, "categoryId"),
            )
            for item in objects_of(answer, "data")
            if number_of(item, "tid")
        ]
        return TitlePage(titles, number_of(answer, "count"))

    def public_keywords(self, tid: str) -> list[Keyword]:
        """Return the keywords that a title offers, in WeChat's order."""
        return [
            Keyword(
                number_of(item, "kid"),
                text_of(item, "name"),
                text_of(item, "example"),
                text_of(item, "rule"),
            )
            for item in self._data("getpubtemplatekeywords", {"tid": tid})
        ]

    def add_subscribe_template(self, tid: str, kids: Sequence[int], scene: str) -> str:
        """Add a title with these keywords in this order; return the template's id.

        2 to 5 keywords, and a scene of at most 15 characters. After WeChatUnavailable
        it may have been added.
        """
        path = "/wxaapi/newtmpl/addtemplate"
        body = {"tid": tid, "kidList": list(kids), "sceneDesc": scene}
        return self._added(path, body, "priTmplId")

    def remove_subscribe_template(self, template_id: str) -> None:
        """Remove a subscribe-notification template from the account."""
        body = to_json({"priTmplId": template_id})
        self._call("POST", "/wxaapi/newtmpl/deltemplate", body=body)

    def add_template(self, short_id: str, keywords: Sequence[str]) -> str:
        """Add a template of template messages by its number in the library; return its
        id. `keywords` are names in the order they shall have."""
        path = "/cgi-bin/template/api_add_template"
        body = {"template_id_short": short_id, "keyword_name_list": list(keywords)}
        return self._added(path, body, "template_id")

    def remove_template(self, template_id: str) -> None:
        """Remove a template of template messages from the account."""
        body = to_json({"template_id": template_id})
        self._call("POST", "/cgi-bin/template/del_private_template", body=body)

    def _data(self, name: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        path = f"/wxaapi/newtmpl/{name}"
        answer = self._call("GET", path, params)
        if not isinstance(answer.get("data"), list):
            raise errors.WeChatUnavailable(f"{path}: no data in the answer")
        return objects_of(answer, "data")

    def _added(self, path: str, body: object, name: str) -> str:
        template_id = text_of(self._call("POST", path, body=to_json(body)), name)
        if not template_id:
            raise errors.WeChatUnavailable(f"{path}: no {name} in the answer")
        return template_id
