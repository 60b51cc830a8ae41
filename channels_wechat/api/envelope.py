"""One shape for every error: `{"code": word, "detail": sentence, "fields": {…}}`.

The codes are part of the contract: other programs branch on them.
"""

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from channels_wechat.wechat.errors import WeChatError, explain

from .errors import TooLarge

log = logging.getLogger(__name__)
NON_FIELD = "non_field_errors"


def error(
    status_code: int,
    code: str,
    detail: str,
    fields: Mapping[str, list[str]] | None = None,
    **more: Any,
) -> Response:
    """Return an error answer in the contract's shape."""
    body = {"code": code, "detail": detail, "fields": dict(fields or {}), **more}
    return Response(body, status=status_code)


def exception_handler(problem: Exception, context: dict[str, Any]) -> Response | None:
    """Answer what a view raised; None for our own faults, which Django reports."""
    response = _answer(problem)
    if response is not None:
        set_rollback()
        for name in ("auth_header", "wait"):
            if value := getattr(problem, name, None):
                header = "WWW-Authenticate" if name == "auth_header" else "Retry-After"
                response[header] = str(value)
    return response


def _answer(problem: Exception) -> Response | None:
    if isinstance(problem, WeChatError):
        return _wechat(problem)
    if isinstance(problem, DjangoValidationError):
        return _invalid(_of_django(problem))
    if isinstance(problem, Http404):
        problem = exceptions.NotFound()
    elif isinstance(problem, PermissionDenied):
        problem = exceptions.PermissionDenied()
    elif isinstance(problem, RequestDataTooBig):
        problem = TooLarge(_("The request is too large."))
    if isinstance(problem, exceptions.ValidationError):
        return _invalid(flat(problem.detail))
    if isinstance(problem, exceptions.APIException):
        detail = problem.detail
        code = getattr(detail, "code", None) or problem.default_code
        return error(problem.status_code, str(code), str(detail))
    return None


def _invalid(fields: dict[str, list[str]]) -> Response:
    general = fields.get(NON_FIELD)
    if general:
        detail = general[0]
    else:
        detail = _("Please correct: %(names)s.") % {"names": ", ".join(fields)}
    return error(status.HTTP_400_BAD_REQUEST, "invalid", detail, fields)


def flat(detail: Any, name: str = "") -> dict[str, list[str]]:
    """Flatten DRF's nested errors to `{"steps.0.wait_s": [sentence]}`."""
    if isinstance(detail, Mapping):
        pairs = [
            (f"{name}.{key}" if name else str(key), v) for key, v in detail.items()
        ]
    elif isinstance(detail, list | tuple) and any(
        isinstance(item, Mapping | list | tuple) for item in detail
    ):
        pairs = [(_below(name, i), value) for i, value in enumerate(detail)]
    else:
        sentences = detail if isinstance(detail, list | tuple) else [detail]
        return {name or NON_FIELD: [str(sentence) for sentence in sentences]}
    found: dict[str, list[str]] = {}
    for key, value in pairs:
        if value:
            found |= flat(value, key)
    return found


def _below(name: str, key: object) -> str:
    return f"{name}.{key}" if name else str(key)


def _of_django(problem: DjangoValidationError) -> dict[str, list[str]]:
    if not hasattr(problem, "error_dict"):
        return {NON_FIELD: list(problem.messages)}
    return {
        (NON_FIELD if name == "__all__" else name): sentences
        for name, sentences in problem.message_dict.items()
    }


def _wechat(problem: WeChatError) -> Response:
    """502: `wechat_refused` with WeChat's own words, or nobody answered there."""
    if problem.errcode is None:
        log.warning("WeChat could not be asked: %s", problem)
        return error(
            status.HTTP_502_BAD_GATEWAY,
            "wechat_unavailable",
            _("WeChat could not be asked: %(text)s") % {"text": problem.errmsg},
            errcode=None,
            errmsg=problem.errmsg,
        )
    known = explain(problem.errcode)
    sentences = [_(known.meaning), _(known.advice)] if known else []
    return error(
        status.HTTP_502_BAD_GATEWAY,
        "wechat_refused",
        " ".join(s for s in sentences if s)
        or _("WeChat refused: %(text)s") % {"text": problem.errmsg},
        errcode=problem.errcode,
        errmsg=problem.errmsg,
    )
