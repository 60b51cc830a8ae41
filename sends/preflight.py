"""Every value of every person checked against WeChat's limits, before anything is sent.

A value that WeChat refuses costs a failed call and a person who got nothing. The check
reads the audience as a stream, so its memory does not grow with it; a large one is
checked in a task that says on the row how far it is (`Send.preflight`).
"""

import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from channels_wechat.wechat import limits
from channels_wechat.wechat.messages import CompiledMessage, placeholders

from . import audience, drafting, problems
from .models import Send
from .waking import wake_on_commit

# As many people are checked while the operator waits.
SMALL: Final = 5000
# A message whose link is longer was never seen to be taken.
MAX_LINK: Final = 2048
EXAMPLES: Final = 12
PEOPLE_A_BEAT: Final = 4000
SILENCE: Final = timedelta(seconds=20)
# Keys of a link's problems, among the keys of the template's fields.
LINK, PATH = "url", "miniprogram_path"


class Finding(NamedTuple):
    """One unfit value of one person."""

    person: audience.Person
    problem: limits.Problem
    value: str


@dataclass
class Group:
    """How many lines one kind of problem of one field concerns."""

    key: str
    code: str
    limit: int
    blocks: bool
    lines: int


@dataclass
class Report:
    """What a check found, as kept in `Send.preflight`."""

    id: str
    of: str  # drafting.fingerprint of what was checked
    state: Literal["waiting", "checking", "done"]
    checked: int = 0  # lines of the audience, doubles among them
    total: int = 0
    people: int = 0
    bad: int = 0  # people with no line that fits: they get nothing
    warned: int = 0  # lines that WeChat shortens
    groups: list[Group] = field(default_factory=list)
    # person id, userid, openid, key, code, limit, length, value
    examples: list[list[Any]] = field(default_factory=list)
    # Wrong for everyone: key, code, limit, length
    constants: list[list[Any]] = field(default_factory=list)
    unknown_names: list[str] = field(default_factory=list)
    accepted: bool = False  # the operator agreed that the bad ones are skipped
    checker: str = ""
    beat: str = ""

    @property
    def blocks(self) -> bool:
        """Whether nobody could be sent to: to be mended first."""
        everyone = self.state == "done" and self.bad and self.bad >= self.people
        return bool(
            self.unknown_names
            or everyone
            or any(limits.Problem(code, key).blocks for key, code, *_ in self.constants)
        )

    @property
    def is_under_way(self) -> bool:
        return self.state != "done"

    @property
    def is_silent(self) -> bool:
        return self.is_under_way and (
            not self.beat
            or timezone.now() - datetime.fromisoformat(self.beat) > SILENCE
        )

    @property
    def percent(self) -> int:
        return min(99, 100 * self.checked // self.total) if self.total else 0


class Superseded(Exception):
    """The draft was changed, or another checker took over."""


def report_of(send: Send) -> Report | None:
    """Return what the last check found, None if the draft has changed since."""
    if not send.preflight:
        return None
    report = _load(send.preflight)
    return report if report.of == drafting.fingerprint(send) else None


def _load(stored: dict[str, Any]) -> Report:
    groups = [Group(**group) for group in stored["groups"]]
    return Report(**{**stored, "groups": groups})


def sentence(problem: limits.Problem, labels: dict[str, str]) -> str:
    """Return a problem in the operator's language, the field named by its label."""
    if problem.code == "bad_link":
        return _("The link does not begin with http:// or https://.")
    if problem.code == "no_link":
        return _("The link is empty.")
    return problems.sentence(problem, labels.get(problem.key, ""))


def labels_of(send: Send) -> dict[str, str]:
    """Return what the operator sees beside each field of the template."""
    fields = send.template.fields if send.template else []
    labels = {f["key"]: f["label"] or f["key"] for f in fields}
    return labels | {LINK: _("Link"), PATH: _("Mini-program page")}


# -- checking --------------------------------------------------------------------------


def constant_problems(send: Send) -> list[limits.Problem]:
    """Return what is wrong for everybody alike: values without a placeholder."""
    assert send.template is not None
    found = []
    for template_field in send.template.fields:
        key = template_field["key"]
        text = send.data.get(key, "")
        if not placeholders(text):
            found.append(send.template.problem_of(key, text))
    if send.url and not placeholders(send.url):
        found.append(_link_problem(send.url))
    return [problem for problem in found if problem is not None]


def _link_problem(link: str) -> limits.Problem | None:
    if not link.startswith(("http://", "https://")):
        return limits.Problem("bad_link" if link else "no_link", LINK)
    if len(link) > MAX_LINK:
        return limits.Problem("too_long", LINK, MAX_LINK, len(link))
    return None


class Checker:
    """Checks one person after another. Remembers values, which repeat a lot."""

    def __init__(self, send: Send) -> None:
        assert send.template is not None
        self._template = send.template
        # Constants are looked at once, for all.
        varying = {key: text for key, text in send.data.items() if placeholders(text)}
        self._message = CompiledMessage(send.template.template_id, varying)
        self._link = CompiledMessage(
            "", {LINK: send.url} if placeholders(send.url) else {}
        )
        self._known: dict[tuple[str, str], limits.Problem | None] = {}

    @property
    def looks_at_people(self) -> bool:
        return bool(self._message.data or self._link.data)

    def findings(self, person: audience.Person) -> Iterator[Finding]:
        """Yield the unfit values of one person."""
        for key, value in self._message.values(person.variables).items():
            known = (key, value)
            if known not in self._known:
                if len(self._known) > 50_000:
                    self._known.clear()
                self._known[known] = self._template.problem_of(key, value)
            if problem := self._known[known]:
                yield Finding(person, problem, value)
        for link in self._link.values(person.variables).values():
            if problem := _link_problem(link):
                yield Finding(person, problem, link)


def findings(send: Send) -> Iterator[Finding]:
    """Yield every unfit value of everyone the send would go to, in their order."""
    checker = Checker(send)
    if not checker.looks_at_people:
        return
    for person in audience.people(send):
        if not person.reason:
            yield from checker.findings(person)


def start(send: Send) -> Report:
    """Begin the check of a draft, unless one of the very same is there already.

    A small audience is checked at once. Raises WrongState.
    """
    if (report := report_of(send)) is not None:
        if report.is_silent:
            wake_on_commit("check_values", send.pk)
        return report
    report = Report(secrets.token_hex(6), drafting.fingerprint(send), "waiting")
    report.unknown_names = sorted(audience.unknown_names(send))
    report.constants = [
        [problem.key, problem.code, problem.limit, problem.length]
        for problem in constant_problems(send)
    ]
    if report.unknown_names or not Checker(send).looks_at_people:
        report.state = "done"
        drafting.change(send, preflight=asdict(report))
        return report
    counts = audience.counts(send)
    report.people = counts.to_send
    report.total = counts.to_send + counts.duplicate
    drafting.change(send, preflight=asdict(report))
    if report.total <= SMALL:
        check(send.pk)
        send.refresh_from_db(fields=["preflight"])
        return _load(send.preflight)
    wake_on_commit("check_values", send.pk)
    return report


def accept(send: Send) -> None:
    """Note that people with a bad value shall be skipped. Raises WrongState."""
    report = report_of(send)
    if report is not None and not report.is_under_way:
        report.accepted = True
        drafting.change(send, preflight=asdict(report))


def check(send_pk: int) -> None:
    """Check a draft's values as its report asks. Safe to call twice."""
    claimed = _claim(send_pk)
    if claimed is None:
        return
    send, report = claimed
    try:
        _check(send, report)
    except Superseded:
        return


def _claim(send_pk: int) -> tuple[Send, Report] | None:
    with transaction.atomic():
        send = _locked(send_pk)
        if send is None or not send.preflight:
            return None
        report = _load(send.preflight)
        if not report.is_under_way or report.of != drafting.fingerprint(send):
            return None
        if report.state == "checking" and not report.is_silent:
            return None
        report.state, report.checker = "checking", secrets.token_hex(6)
        report.checked = report.bad = report.warned = 0
        report.groups, report.examples = [], []
        _write(send_pk, report)
    return send, report


def _locked(send_pk: int) -> Send | None:
    return (
        Send.objects.select_for_update(of=("self",))
        .select_related("template")
        .filter(pk=send_pk, status=Send.Status.DRAFT, template__isnull=False)
        .first()
    )


def _write(send_pk: int, report: Report) -> None:
    report.beat = timezone.now().isoformat()
    Send.objects.filter(pk=send_pk).update(preflight=asdict(report))


def _write_if_mine(send_pk: int, report: Report) -> None:
    with transaction.atomic():
        send = _locked(send_pk)
        mine = send and send.preflight and send.preflight["checker"] == report.checker
        if not mine:
            raise Superseded
        _write(send_pk, report)


def _check(send: Send, report: Report) -> None:
    checker = Checker(send)
    groups: Counter[tuple[str, str, int]] = Counter()
    # A person on several lines gets the first one that fits. Remembered as hashes, and
    # only where there are doubles at all: a million openIDs are much to keep.
    doubles = report.total > report.people
    good: set[int] = set()
    bad: set[int] = set()
    for person in audience.people(send):
        if person.reason:
            continue
        report.checked += 1
        found = list(checker.findings(person))
        blocking = any(finding.problem.blocks for finding in found)
        if doubles:
            (bad if blocking else good).add(hash(person.openid))
        if found:
            report.bad += blocking
            report.warned += not blocking
            for finding in found:
                groups[finding.problem[:3]] += 1
                if len(report.examples) < EXAMPLES:
                    report.examples.append(_example(finding))
        if report.checked % PEOPLE_A_BEAT == 0:
            _write_if_mine(send.pk, report)
    report.state = "done"
    report.total = report.people = report.checked
    if doubles:
        report.people, report.bad = len(good | bad), len(bad - good)
    report.groups = [
        Group(key, code, limit, limits.Problem(code, key).blocks, lines)
        for (code, key, limit), lines in groups.most_common()
    ]
    _write_if_mine(send.pk, report)


def _example(finding: Finding) -> list[Any]:
    person, problem, value = finding
    return [
        person.id,
        person.userid,
        person.openid,
        problem.key,
        problem.code,
        problem.limit,
        problem.length,
        value[:200],
    ]
