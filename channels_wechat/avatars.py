"""An account's picture: copied, since WeChat shows its own address to nobody else."""

import logging
import time
from typing import Final
from urllib.parse import urlsplit

import requests
from django.conf import settings

from .models import Avatar, Channel
from .wechat.calls import open_session

log = logging.getLogger(__name__)

MAX_BYTES: Final = 512 * 1024
WHOLE_S: Final = 10
# The address comes in an answer; nothing but WeChat's own hosts is asked.
HOSTS: Final = (".qlogo.cn", ".qpic.cn")
KINDS: Final = {
    b"\x89PNG\r\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}


def copy(channel: Channel, url: str) -> None:
    """Keep a copy of the picture; without one the channel is as good."""
    if not _is_wechats(url):
        return
    image = _fetched(url)
    kind = next((kind for start, kind in KINDS.items() if image.startswith(start)), "")
    if kind:
        Avatar.objects.update_or_create(
            channel=channel, defaults={"image": image, "content_type": kind}
        )


def _is_wechats(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return False
    # A sandbox on this network has pictures of its own.
    bases = (settings.WECHAT_API_BASE, settings.WECHAT_MP_BASE)
    ours = {urlsplit(base).netloc for base in bases}
    return parts.netloc in ours or parts.hostname.endswith(HOSTS)


def _fetched(url: str) -> bytes:
    image, until = bytearray(), time.monotonic() + WHOLE_S
    try:
        with (
            open_session() as session,
            session.get(
                url, timeout=(3, 5), stream=True, allow_redirects=False
            ) as answer,
        ):
            if answer.status_code != 200:
                return b""
            for piece in answer.iter_content(65536):
                image += piece
                if len(image) > MAX_BYTES or time.monotonic() > until:
                    return b""
    except (requests.RequestException, OSError) as error:
        log.info("no avatar: %s", type(error).__name__)
        return b""
    return bytes(image)
