"""`make faults SEEDS="1 2 3" DB=postgres BROKER=redis`: everything goes wrong.

Each seed is a send to many people and one of subscribe-notifications to fewer, while
processes are killed, servers crash, the queue's disk is full, the clock jumps and
WeChat answers nonsense, in an order that the seed decides. At the end the stand-in
WeChat's own log must say that everybody was shown the message exactly once, and the
notification once at most with every doubt marked unknown; the database must agree.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from channels_wechat.wechat.bulk import SUBSCRIBE_SEND
from tests import services
from tests.e2e.stack import SUBMIT, Stack
from tests.sandbox_fixture import SEND, SandboxProcess

TOKEN, AES_KEY = "faultstest", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
PROCESSES = ("worker", "web", "beat", "receiver")
# How wrong this host's clock may be; WeChat's is right.
CLOCK_S = 60
# So many times fewer subscribe-notifications than messages, which may be repeated.
NOTICES_SHARE = 10
# What WeChat does: fault, and how many calls it may spoil.
WECHAT = {
    "busy": (1, 200),
    "busy_after": (1, 200),
    "close": (1, 40),
    "close_before": (1, 40),
    "slow": (1, 100),
    "token_dies": (1, 1),
    "bad_gateway": (1, 40),
    "bad_gateway_after": (1, 40),
    "truncated": (1, 40),
    "errcode_string": (1, 200),
    "daily_quota": (1, 1),
}

# The second account, to some of the same people. Nobody's acceptance is asked for
# before: whoever were called twice would be shown it twice.
NOTICE = """
from channels_wechat.models import Channel
from sends import control
from sends.models import Send
from templates_mgmt import refreshing
from templates_mgmt.models import Template
from users.models import OpenID, Recipient

channel = Channel(callback_mode="safe", **given["channel"])
channel.full_clean()
channel.save()
refreshing.refresh(channel)
openids = given["openids"]
people = Recipient.objects.order_by("pk")[: len(openids)]
OpenID.objects.bulk_create(
    [OpenID(channel=channel, recipient=p, openid=o) for p, o in zip(people, openids)],
    batch_size=2000,
)
send = control.new_draft(
    None,
    title="Shipped",
    channel=channel,
    template=Template.objects.get(
        channel=channel, kind="subscribe", title="订单发货通知"
    ),
    audience=Send.Audience.ALL,
    skip_unreachable=False,
    data={
        "thing1": "{{userid}}",
        "character_string2": "SP1",
        "time3": "2026年5月8日 10:00",
        "phrase4": "顺丰速运",
    },
)
control.submit(send)
print(json.dumps([send.pk, send.template.template_id]))
"""

# Also what an operator would do: a send that paused is resumed.
STATE = """
from django.db.models import Count
from sends import control
from sends.models import Delivery, Drain, InboundEvent, Send

states = []
for pk in given["sends"]:
    send = Send.objects.get(pk=pk)
    paused = send.pause_code if send.status == "paused" else ""
    if paused:
        control.resume(send, by="faults")
    if given["impatient"]:
        Drain.objects.update(hold_until=None)
    ours = Delivery.objects.filter(send=send)
    rows = dict(ours.values_list("status").annotate(Count("pk")))
    unknown = ours.filter(status=Delivery.Status.UNKNOWN)
    states.append({
        "status": send.status,
        "paused": paused,
        "rows": {Delivery.Status(s).name.lower(): n for s, n in rows.items()},
        "counts": {k: n for k, n in send.counts.items() if n},
        "unknown": list(unknown.values_list("openid", flat=True)),
        "events waiting": InboundEvent.objects.filter(
            channel=send.channel, status=0
        ).count(),
    })
print(json.dumps(states))
"""


class Faults:
    """Two sends with faults in the order of one seed."""

    def __init__(
        self,
        stack: Stack,
        sandbox: SandboxProcess,
        seed: int,
        servers: dict[str, services.Server],
    ):
        self.stack, self.sandbox, self.servers = stack, sandbox, servers
        self.dice = random.Random(seed)
        self.told: list[str] = []
        self.deaths = 0
        self.queue = Path(stack.environment["DATA_DIR"]) / "queue"
        self.aside = self.queue.with_name("queue-aside")
        self.actions = [self.kill, self.kill, self.wechat, self.wechat, self.wechat]
        self.actions += [self.crash] * 2 * bool(servers)
        self.actions.append(self.move_clock)
        self.clock = stack.place / "clock"
        stack.environment["FAULTS_CLOCK"] = str(self.clock)
        stack.environment["PYTHONPATH"] = str(Path(__file__).with_name("clock"))
        if "CELERY_BROKER_URL" not in stack.environment:
            self.actions.append(self.fill_queue)

    def say(self, what: str) -> None:
        self.told.append(what)

    # -- what goes wrong ---------------------------------------------------------------
    def kill(self) -> None:
        name = self.dice.choice(PROCESSES)
        self.revive()  # Celery's worker may have died of a server's crash just now
        self.say(f"kill {name}")
        self.stack.kill(name)
        time.sleep(self.dice.uniform(0, 1.5))

    def crash(self) -> None:
        name = self.dice.choice(sorted(self.servers))
        down_s = self.dice.uniform(0.2, 4)
        self.say(f"crash {name} for {down_s:.1f} s")
        self.servers[name].kill()
        time.sleep(down_s)
        self.servers[name].start()

    def wechat(self) -> None:
        kind = self.dice.choice(sorted(WECHAT))
        calls = self.dice.randint(*WECHAT[kind])
        self.deaths += calls if kind == "token_dies" else 0
        path, name = SEND, "messages"
        if self.dice.random() < 0.25:
            # Each answer that is not seen costs a person the notification.
            path, name, calls = SUBSCRIBE_SEND.path, "notifications", min(calls, 20)
        self.say(f"WeChat: {kind} x {calls} of {name}")
        delay_s = self.dice.uniform(0.5, 17)
        self.sandbox.faults(kind, path=path, calls=calls, delay_s=delay_s)

    def fill_queue(self) -> None:
        """The disk of the queue's folder is full: nothing can be written there."""
        down_s = self.dice.uniform(1, 5)
        self.say(f"full queue disk for {down_s:.1f} s")
        self.queue.rename(self.aside)
        with full_folder(self.queue):
            time.sleep(down_s)
        self.aside.rename(self.queue)

    def move_clock(self) -> None:
        """The clock of our host jumps, forward or back."""
        off_s = self.dice.uniform(-CLOCK_S, CLOCK_S)
        self.say(f"clock {off_s:+.0f} s")
        # A process that reads half a number keeps the clock it has.
        self.clock.write_text(f"{off_s:.3f}\n")

    # -- the run -----------------------------------------------------------------------
    def revive(self) -> None:
        """Start again what was killed or has died, as an init system would."""
        for name in PROCESSES:
            process = self.stack.running.get(name)
            if process is not None and process.poll() is not None:
                self.say(f"{name} had died of {process.returncode}")
            if process is None or process.poll() is not None:
                self.stack.start(name)

    def run(self, people: int, faults: int) -> dict:
        """Send to `people` while `faults` things go wrong; prove that nothing did."""
        began = time.monotonic()
        rate = max(20, people // (2 * faults))
        self.sandbox.settings(reply_delay_ms=[30, 120], push_patience_s=600)
        self.stack.start("web", "beat", "receiver")
        # Slow enough that every fault meets a send under way.
        appid, openids, fields = self.account("faults", people, rate)
        send = self.stack.ask(SUBMIT, openids=openids, channel=fields)
        self.push_to(appid, f"127.0.0.1:{self.stack.receiver_port}", "faults")
        fewer = people // NOTICES_SHARE
        notices_appid, notified, fields = self.account(
            "notices", fewer, max(4, rate // NOTICES_SHARE)
        )
        notices, template_id = self.stack.ask(NOTICE, openids=notified, channel=fields)
        self.push_to(notices_appid, f"127.0.0.1:{self.stack.port}", "notices")
        accepting = {"appid": notices_appid, "template_id": template_id, "times": 3}
        self.sandbox.control("POST", "acceptances", {**accepting, "openids": notified})
        self.sends = [send, notices]
        self.stack.start("worker")

        accepted = 0
        for _fault in range(faults):
            # In the middle of sending, or after a while when nothing moves.
            wanted, until = accepted + people // (faults + 4), time.monotonic() + 6
            while accepted < wanted and time.monotonic() < until:
                time.sleep(0.1)
                accepted = self.sandbox.stats()["accepted"]
            if accepted < people:
                self.dice.choice(self.actions)()
            self.revive()
            if self.dice.random() < 0.3:
                self.look()
        self.say(f"faults end, {accepted} of {people + fewer} accepted")
        self.sandbox.clear_faults()
        state, noticed = self.finish()
        self.prove(state, appid, openids)
        lost = self.prove_notices(noticed, notices_appid, notified)
        stats = self.sandbox.stats()
        return {
            "seconds": round(time.monotonic() - began, 1),
            "repeated": stats["repeated"],
            "tokens": stats["tokens_issued"],
            "notices unknown": len(noticed["unknown"]),
            "of them shown": len(noticed["unknown"]) - lost,
        }

    def account(self, code: str, people: int, rate: int) -> tuple[str, list[str], dict]:
        """Make an account; return its AppID, its people, and the channel's fields."""
        account = self.sandbox.add_account(followers=people)
        appid = account["appid"]
        openids = [self.sandbox.openid(n, appid) for n in range(1, people + 1)]
        fields = {
            "name": code.title(),
            "code": code,
            "appid": appid,
            "app_secret": account["secret"],
            "original_id": account["original_id"],
            "callback_token": TOKEN,
            "encoding_aes_key": AES_KEY,
            "connections": 100 if code == "faults" else 5,
            "rate_per_s": rate,
        }
        return appid, openids, fields

    def push_to(self, appid: str, host: str, code: str) -> None:
        """Let the sandbox push to the web process, or to the receiver."""
        url = f"http://{host}/v1/wechatoa/callback/{code}"
        self.sandbox.callback(url, TOKEN, appid, mode="safe", encoding_aes_key=AES_KEY)

    def look(self) -> list[dict]:
        states = self.stack.ask(STATE, sends=self.sends, impatient=True)
        for state in states:
            if state["paused"]:
                self.say(f"resumed after {state['paused']}")
        return states

    def finish(self) -> list[dict]:
        until = time.monotonic() + 300
        while True:
            self.revive()
            states = self.look()
            stats = self.sandbox.stats()
            if (
                all(state["status"] == "finished" for state in states)
                and all(set(s["rows"]) <= {"delivered", "unknown"} for s in states)
                and stats["receipts"]["answered"] >= stats["accepted"]
            ):
                return states
            assert time.monotonic() < until, (
                f"not finished: {states}, receipts: {stats['receipts']}"
            )
            time.sleep(2)

    def prove(self, state: dict, appid: str, openids: list[str]) -> None:
        """Compare what WeChat showed with what we wrote. Raises AssertionError."""
        shown = self.sandbox.shown(appid=appid, counts=1)["counts"]
        doubtful = set(state["unknown"])
        twice = [openid for openid, times in shown.items() if times > 1]
        assert not twice, f"shown twice: {twice[:5]}"
        missing = set(openids) - set(shown) - doubtful
        assert not missing, f"{len(missing)} were shown nothing"
        assert set(shown) <= set(openids)
        # Ten minutes have not passed: every doubt could be settled by a repeat.
        assert not doubtful, f"{len(doubtful)} are unknown"
        assert state["rows"] == state["counts"]
        assert state["rows"] == {"delivered": len(openids)}
        self.stack.manage("recount")
        # A death costs one refresh; two, if a worker was killed before it stored it.
        issued = self.sandbox.stats()["tokens_issued"]
        assert issued <= 2 + 2 * self.deaths, (
            f"{issued} tokens for {self.deaths} deaths"
        )
        calls = self.sandbox.stats()["calls"][SEND]
        assert calls["0"] >= len(openids)

    def prove_notices(self, state: dict, appid: str, openids: list[str]) -> int:
        """The same of what must not be repeated; return how many were shown nothing."""
        shown = self.sandbox.shown(appid=appid, counts=1)["counts"]
        twice = [openid for openid, times in shown.items() if times > 1]
        assert not twice, f"notified twice: {twice[:5]}"
        assert set(shown) <= set(openids)
        lost = set(openids) - set(shown)
        told = lost - set(state["unknown"])
        assert not told, f"{len(told)} were not notified, and are not unknown"
        assert state["rows"] == state["counts"]
        assert sum(state["rows"].values()) == len(openids)
        return len(lost)


@contextlib.contextmanager
def full_folder(path: Path):
    """A folder on a disk with no room; where nothing may be mounted, no folder."""
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=2", "tmpfs", str(path)],
        capture_output=True,
    )
    if mounted.returncode:
        path.rmdir()
        path.write_text("no folder")
        yield
        path.unlink()
        return
    try:
        with contextlib.suppress(OSError):
            (path / "filler").write_bytes(b"x" * 8192)
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
        # Whatever was written between the two is a wake-up that got lost.
        while path.exists():
            shutil.rmtree(path, ignore_errors=True)


def run(
    seed: int, database: str, broker: str, people: int, faults: int, place: Path
) -> dict:
    """Run one seed on servers and folders of its own. Raises AssertionError."""
    servers: dict[str, services.Server] = {}
    with contextlib.ExitStack() as stack:
        database_url = f"sqlite:///{place / 'jums.sqlite3'}"
        if database == "postgres":
            server = servers["PostgreSQL"] = services.own_postgresql().start()
            stack.callback(server.kill)
            postgres = services.Postgres(server.url)
            database_url = stack.enter_context(postgres.fresh())
        broker_url = ""
        if broker != "folder":
            bring = {"redis": services.own_redis, "rabbitmq": services.own_rabbitmq}
            server = servers[broker] = bring[broker]().start()
            stack.callback(server.kill)
            broker_url = server.url + ("/0" if broker == "redis" else "")
        sandbox = SandboxProcess()
        stack.callback(sandbox.stop)
        sandbox.reset()
        product = Stack(place, sandbox, database_url, broker_url)
        stack.callback(product.stop)
        one = Faults(product, sandbox, seed, servers)
        try:
            return one.run(people, faults) | {"told": one.told}
        except BaseException:
            print("\n".join([f"seed {seed}:", *one.told]), file=sys.stderr)
            print(product.autopsy(), file=sys.stderr)
            raise


def seeds_of(text: str) -> list[int]:
    """Return the seeds in "7 9" or "1-20"; an empty text: one of today's."""
    seeds: list[int] = []
    for word in text.replace(",", " ").split():
        first, _dash, last = word.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds or [random.SystemRandom().randrange(10**6)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seeds", default="")
    parser.add_argument("--db", choices=["sqlite", "postgres"], default="postgres")
    brokers = ["folder", "redis", "rabbitmq"]
    parser.add_argument("--broker", choices=brokers, default="redis")
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--faults", type=int, default=20)
    asked = parser.parse_args()
    # Whoever ends us wants everything ended that we have started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ.setdefault("TEST_DATABASE", asked.db)
    failed = []
    for seed in seeds_of(asked.seeds):
        print(f"seed {seed}: {asked.people} people, {asked.db}, {asked.broker}")
        with tempfile.TemporaryDirectory(prefix="faults-") as place:
            try:
                done = run(
                    seed,
                    asked.db,
                    asked.broker,
                    asked.people,
                    asked.faults,
                    Path(place),
                )
            except Exception:
                traceback.print_exc()
                failed.append(seed)
                continue
        print("  " + "; ".join(done.pop("told")))
        print(f"  everybody once: {done}", flush=True)
    print(f"failed seeds: {failed}" if failed else "all seeds passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
