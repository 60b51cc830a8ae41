"""Work for right after an answer: WeChat waits five seconds, and a worker may be busy
with a send for hours. A thread may die with its process, so whatever must not be lost
is a row as well, which the sweep finds."""

import logging
import threading
from collections.abc import Callable

from django.db import connections, transaction

log = logging.getLogger(__name__)


def start_on_commit(work: Callable[[], None], name: str) -> None:
    """Do `work` in a thread of this process once the transaction is committed."""

    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    transaction.on_commit(
        lambda: threading.Thread(target=run, name=name, daemon=True).start()
    )
