"""Signatures that let a page use WeChat's JS-SDK.

Source: https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html,
appendix 1 (read 2026-11).
"""

import hashlib


def sign(ticket: str, nonce: str, timestamp: int | str, url: str) -> str:
    """Return the signature of `wx.config` for the page at `url`.

    `url` is the whole address as the browser has it, query included; what follows a #
    is left out.
    """
    page = url.partition("#")[0]
    text = f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={page}"
    # WeChat's choice; the ticket in it is what nobody else knows.
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
