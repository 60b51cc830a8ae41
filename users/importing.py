"""An uploaded file into recipients, openIDs and tags.

The file is read and merged in blocks. Each block, its report and the progress are
committed together, so a worker may die at any point: the next attempt reads the file
again, passes over what is committed and goes on. Running twice changes nothing.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path

from django.core.files.base import File
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from channels_wechat.models import Channel

from . import merging
from .models import Upload, UploadError
from .querysets import MAX_ATTEMPTS, UploadQuerySet
from .reasons import BAD_UPLOADS
from .rows import Columns, People, Person, Reader, RowProblem
from .waking import wake_on_commit
from .workbooks import BadFile, Row, Table, check_kind, open_table
from .workbooks import Columns as ColumnsOfRows

log = logging.getLogger(__name__)

# A larger block is quicker, but SQLite lets nobody else write in the meantime.
ROWS_A_BLOCK = {"postgresql": 20_000, "sqlite": 5000}
BEAT_SECONDS = 10
# More problems than this are counted, but not kept one by one.
MAX_REPORTED = 100_000
PREVIEW_ROWS = 10
# Rows that the preview looks at for problems.
PREVIEW_LOOKS = 2000


class Superseded(Exception):
    """Another attempt has taken over, or the upload was deleted."""


def new_upload(
    file: File,
    name: str,
    *,
    mode: str = Upload.Mode.SET,
    channel: Channel | None = None,
    by: object = None,
    status: str = Upload.Status.PREVIEW,
) -> Upload:
    """Keep an uploaded file, its header read and understood.

    A preview waits for `start`; a queued one is imported at once. Raises BadFile, with
    nothing kept.
    """
    upload = Upload(
        name=Path(name).name[:200], mode=mode, channel=channel, status=status
    )
    upload.created_by = by  # type: ignore[assignment]  # a user, or None
    upload.file.save(name, file, save=False)
    try:
        path = Path(upload.file.path)
        check_kind(path, name)
        with open_table(path, upload.name) as table:
            upload.columns = Columns(table.columns).pairs
            upload.bytes_total = table.bytes_total
    except BadFile:
        upload.file.delete(save=False)
        raise
    upload.save()
    if upload.status == Upload.Status.QUEUED:
        wake_on_commit(upload.pk)
    return upload


def start(upload: Upload) -> bool:
    """Queue a previewed upload; return False when somebody was faster."""
    won = Upload.objects.filter(pk=upload.pk, status=Upload.Status.PREVIEW).update(
        status=Upload.Status.QUEUED
    )
    if won:
        wake_on_commit(upload.pk)
    return bool(won)


def discard(upload: Upload) -> bool:
    """Delete an upload that is not under way, with its file and report."""
    if upload.is_open:
        return False
    upload.file.delete(save=False)
    upload.delete()
    return True


@dataclass(frozen=True)
class Preview:
    """The first rows of an upload, and what would become of the first thousands."""

    columns: list[str]
    rows: list[tuple[int, list[str], RowProblem | None]]
    problems: list[RowProblem]
    looked_at: int
    bad: int
    is_all: bool

    @property
    def later_problems(self) -> list[RowProblem]:
        """Problems of rows that are not among those shown."""
        last = self.rows[-1][0] if self.rows else 0
        return [problem for problem in self.problems if problem.row > last]

    @property
    def has_more_problems(self) -> bool:
        return self.bad > len(self.problems)


def preview(upload: Upload) -> Preview:
    """Return what the operator sees before the start. Raises BadFile."""
    with open_table(_path(upload), upload.name) as table:
        columns = Columns(table.columns)
        reader = _reader(upload, columns)
        rows: list[tuple[int, list[str], RowProblem | None]] = []
        problems: list[RowProblem] = []
        looked_at = bad = 0
        for row, cells in table:
            if looked_at == PREVIEW_LOOKS:
                break
            looked_at += 1
            read = reader.read(row, cells)
            problem = read if isinstance(read, RowProblem) else None
            if problem:
                bad += 1
                if len(problems) < 2 * PREVIEW_ROWS:
                    problems.append(problem)
            if len(rows) < PREVIEW_ROWS:
                shown = [c if isinstance(c, str) else c.value for c in cells]
                rows.append((row, [text[:80] for text in shown], problem))
        else:
            return Preview(table.columns, rows, problems, looked_at, bad, True)
    return Preview(table.columns, rows, problems, looked_at, bad, False)


def import_upload(upload_pk: int) -> None:
    """Import what the upload's file says. Safe to call twice, and to be killed."""
    upload = _claim(upload_pk)
    if upload is None:
        return
    try:
        if upload.attempt > MAX_ATTEMPTS:
            tries = {"attempts": MAX_ATTEMPTS}
            raise BadFile("gave_up", tries, BAD_UPLOADS)
        with open_table(_path(upload), upload.name) as table:
            _Import(upload, table).run()
    except BadFile as bad:
        log.info("upload failed upload_pk=%s code=%s", upload_pk, bad.code)
        _end(upload, Upload.Status.FAILED, bad.code, bad.params)
    except Superseded:
        log.info("upload superseded upload_pk=%s", upload_pk)
    else:
        _end(upload, Upload.Status.FINISHED)


def _claim(upload_pk: int) -> Upload | None:
    """Take the upload for this worker; None while another one works on it."""
    now = timezone.now()
    won = (
        Upload.objects.waiting(now)
        .filter(pk=upload_pk)
        .update(
            status=Upload.Status.RUNNING,
            heartbeat_at=now,
            attempt=F("attempt") + 1,
        )
    )
    if not won:
        return None
    Upload.objects.filter(pk=upload_pk, started_at=None).update(started_at=now)
    return Upload.objects.filter(pk=upload_pk).first()


def _path(upload: Upload) -> Path:
    path = Path(upload.file.path)
    if not path.is_file():
        raise BadFile("file_gone", texts=BAD_UPLOADS)
    return path


def _reader(upload: Upload, columns: Columns) -> Reader:
    return Reader(
        columns, upload.channel_id, dict(Channel.objects.values_list("code", "pk"))
    )


@dataclass
class _Block:
    """Rows that are committed together, and how far the file was read then."""

    last_row: int
    people: People = field(default_factory=People.of)
    problems: list[RowProblem] = field(default_factory=list)
    failed: int = 0
    bytes_done: int = 0
    gathered: merging.Block | None = None
    """The people, unless they are to be removed."""


class _Import:
    """One attempt at one upload."""

    def __init__(self, upload: Upload, table: Table) -> None:
        self.upload = upload
        self.table = table
        self.columns = Columns(table.columns)
        self.reader = _reader(upload, self.columns)
        self.removes = upload.mode == Upload.Mode.DEL and self.columns.only_userid
        self.reported = UploadError.objects.filter(upload=upload).count()
        # {(channel, userid): row and openid}, each as numbers: a million fit in 100 MB.
        self.seen: dict[int, int] = {}
        self.rows_a_block = ROWS_A_BLOCK[connection.vendor]
        self.beat_at = time.monotonic() + BEAT_SECONDS

    def run(self) -> None:
        """Merge block after block, while a thread reads the next one."""
        blocks = self._blocks()
        with ThreadPoolExecutor(1, "reading") as ahead:
            following = ahead.submit(next, blocks, None)
            while (block := self._wait_for(following)) is not None:
                following = ahead.submit(next, blocks, None)
                self._commit(block)

    def _wait_for(self, following: "Future[_Block | None]") -> "_Block | None":
        while True:
            try:
                return following.result(timeout=1)
            except TimeoutError:
                if time.monotonic() > self.beat_at:
                    self._beat()

    def _blocks(self) -> "Iterator[_Block]":
        """Yield what is still to be done. Uses no connection: it runs in a thread.

        Where the file breaks, the block before it comes first, then BadFile.
        """
        done = self.upload.last_row
        block = _Block(done)
        broken: BadFile | None = None
        try:
            for some in self.table.some():
                # What an earlier attempt has committed is only looked at, for `seen`.
                people = (
                    self._read_all(some) if isinstance(some, ColumnsOfRows) else None
                )
                if people is not None:
                    start = 0 if people.rows[0] > done else len(people)
                    while start < len(people):
                        room = self.rows_a_block - len(block.people) - block.failed
                        end = min(len(people), start + room)
                        block.people.extend(people, start, end)
                        block.last_row = people.rows[end - 1]
                        if end - start == room:
                            yield self._complete(block)
                            block = _Block(block.last_row)
                        start = end
                    continue
                rows = some.rows() if isinstance(some, ColumnsOfRows) else some
                for read in self._read(rows):
                    if read.row <= done:
                        continue
                    block.last_row = read.row
                    if isinstance(read, Person):
                        block.people.append(read)
                    else:
                        block.problems.append(read)
                        block.failed += not read.is_warning
                    # A row's warning comes before the row: the block ends with the row.
                    if len(block.people) + block.failed >= self.rows_a_block:
                        yield self._complete(block)
                        block = _Block(block.last_row)
        except BadFile as bad:
            broken = bad
        yield self._complete(block)
        if broken:
            raise broken

    def _complete(self, block: "_Block") -> "_Block":
        block.bytes_done = self.table.bytes_done
        if not self.removes:
            block.gathered = merging.gather(block.people, self.upload.mode)
        return block

    def _beat(self) -> None:
        """Say that we are still at it, where a block takes long to read."""
        if not self._mine().update(heartbeat_at=timezone.now()):
            raise Superseded
        self.beat_at = time.monotonic() + BEAT_SECONDS

    def _mine(self) -> UploadQuerySet:
        """The upload as a row, unless another attempt has it."""
        upload = self.upload
        return Upload.objects.filter(
            pk=upload.pk, status=Upload.Status.RUNNING, attempt=upload.attempt
        )

    def _read_all(self, some: ColumnsOfRows) -> People | None:
        """Return what the rows say, None when they must be looked at one by one.

        Either none of them was committed by an earlier attempt, or all were.
        """
        numbers, done = some.numbers, self.upload.last_row
        if min(numbers) <= done < max(numbers):
            return None
        people = self.reader.read_all(numbers, some.columns)
        if people is None or not self._are_first(people):
            return None
        return people

    def _are_first(self, people: People) -> bool:
        """Note whose openIDs they are, unless there is one of the same person."""
        keys = [*map(hash, zip(people.channels, people.userids, strict=True))]
        if "" in people.openids:
            keys = [*compress(keys, people.openids)]
        if len(set(keys)) < len(keys) or not self.seen.keys().isdisjoint(keys):
            return False
        openids = zip(people.rows, people.openids, strict=True)
        marks = [
            row << 48 | hash(openid) & 0xFFFF_FFFF_FFFF
            for row, openid in openids
            if openid
        ]
        self.seen.update(zip(keys, marks, strict=True))
        return True

    def _read(self, rows: Iterable[Row]) -> Iterator[Person | RowProblem]:
        for row, cells in rows:
            read = self.reader.read(row, cells)
            if isinstance(read, Person) and read.openid:
                warning = self._twice(read)
                if warning:
                    yield warning
            yield read

    def _twice(self, person: Person) -> RowProblem | None:
        """Return a warning when an earlier row gave the userid another openID."""
        key = hash((person.channel, person.userid))
        openid = hash(person.openid) & 0xFFFF_FFFF_FFFF
        mine = person.row << 48 | openid
        before = self.seen.setdefault(key, mine)
        if before == mine:
            return None
        self.seen[key] = mine
        if before & 0xFFFF_FFFF_FFFF == openid:
            return None
        if self.upload.mode == Upload.Mode.DEL:
            return None
        return RowProblem(
            person.row,
            person.userid,
            "another_openid",
            {"row": before >> 48},
            is_warning=True,
        )

    def _commit(self, block: "_Block") -> None:
        upload, people, problems = self.upload, block.people, block.problems
        failed = block.failed
        with transaction.atomic():
            if connection.vendor == "postgresql":
                # Rows and progress would be lost together, and the commit that ends the
                # upload, before its file goes, waits for all of them.
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL synchronous_commit = off")
            if people:
                problems = problems + (
                    merging.merge(block.gathered)
                    if block.gathered
                    else merging.remove(people)
                )
                problems.sort(key=lambda problem: problem.row)
            kept = problems[: max(0, MAX_REPORTED - self.reported)]
            mine = self._mine().update(
                rows_total=F("rows_total") + len(people) + failed,
                rows_ok=F("rows_ok") + len(people),
                rows_failed=F("rows_failed") + failed,
                rows_warned=F("rows_warned") + len(problems) - failed,
                bytes_done=block.bytes_done,
                bytes_total=self.table.bytes_total,
                columns=self.columns.pairs,
                heartbeat_at=timezone.now(),
                last_row=block.last_row,
            )
            if not mine:
                raise Superseded
            UploadError.objects.bulk_create(
                (
                    UploadError(
                        upload=upload,
                        row=problem.row,
                        userid=problem.userid,
                        code=problem.code,
                        params=dict(problem.params),
                        is_warning=problem.is_warning,
                    )
                    for problem in kept
                ),
                batch_size=1000,
            )
        self.reported += len(kept)
        self.beat_at = time.monotonic() + BEAT_SECONDS


def _end(
    upload: Upload,
    status: str,
    code: str = "",
    params: dict[str, str | int] | None = None,
) -> None:
    """Close the upload unless another attempt has it; its file has done its duty."""
    mine = Upload.objects.filter(
        pk=upload.pk, status=Upload.Status.RUNNING, attempt=upload.attempt
    ).update(
        status=status,
        failure=code,
        failure_params=params or {},
        finished_at=timezone.now(),
        bytes_done=F("bytes_total")
        if status == Upload.Status.FINISHED
        else F("bytes_done"),
    )
    if mine:
        # People's data lies in the tables now; no copy of it is left about.
        upload.file.delete(save=False)


def sweep() -> list[int]:
    """Return the uploads that somebody must work on; remove forgotten previews."""
    for upload in Upload.objects.forgotten():
        discard(upload)
    return list(Upload.objects.waiting().order_by("pk").values_list("pk", flat=True))
