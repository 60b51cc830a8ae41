"""The queue folder: kombu's filesystem transport, safe against half a file.

kombu creates a message's file first and writes it then. A reader that comes in between
takes an empty file, cannot parse it, and the whole worker ends. The same holds for the
table of an exchange when two processes start together. Here a file gets its name only
when it is complete.
"""

import os
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    # kombu's two bases disagree about this signature.
    def _put(  # type: ignore[override]
        self, queue: str, payload: dict[str, Any], **kwargs: Any
    ) -> None:
        # kombu's names: sorted by time, read by whoever serves this queue.
        name = f"{round(monotonic() * 1000)}_{uuid4()}.{queue}.msg"
        folder = Path(self.data_folder_out)
        part = folder / f".{name}.part"
        part.write_bytes(dumps(payload).encode())
        part.rename(folder / name)

    def _queue_bind(
        self, exchange: str, routing_key: str | None, pattern: str | None, queue: str
    ) -> None:
        table: Path = self._exchange_file(exchange)  # type: ignore[attr-defined]  # private
        table.parent.mkdir(exist_ok=True)
        if not table.exists():
            part = table.with_name(f".{table.name}.{uuid4()}")
            part.write_text("[]")
            try:
                os.link(part, table)
            except FileExistsError:
                pass  # another process was faster; its table must stay
            finally:
                part.unlink()
        super()._queue_bind(exchange, routing_key or "", pattern or "", queue)


class Transport(filesystem.Transport):
    Channel = Channel
