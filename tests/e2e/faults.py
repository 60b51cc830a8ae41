"""`make faults SEEDS="1 2 3" DB=postgres BROKER=redis`: everything goes wrong.

Each seed is a send to many people while processes are killed, servers crash, the
queue's disk is full and WeChat answers nonsense, in an order that the seed decides. At
the end the stand-in WeChat's own log must say that everybody was shown the message
exactly once, and the database must agree with it.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests import services
from tests.e2e.stack import SUBMIT, Stack
from tests.sandbox_fixture import SEND, SandboxProcess

TOKEN, AES_KEY = "faultstest", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
PROCESSES = ("worker", "web", "beat")
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

# Also what an operator would do: a send that paused is resumed.
STATE = """
from django.db.models import Count
from sends import control
from sends.models import Delivery, Drain, Send

send = Send.objects.get(pk=given["send"])
paused = send.pause_code if send.status == "paused" else ""
if paused:
    control.resume(send, by="faults")
if given["impatient"]:
    Drain.objects.update(hold_until=None)
rows = dict(
    Delivery.objects.filter(send=send).values_list("status").annotate(Count("pk"))
)
print(json.dumps({
    "status": send.status,
    "paused": paused,
    "rows": {Delivery.Status(s).name.lower(): n for s, n in rows.items()},
    "counts": {k: n for k, n in send.counts.items() if n},
    "unknown": list(
        Delivery.objects.filter(send=send, status=6).values_list("openid", flat=True)
    ),
}))
"""


class Faults:
    """One send with faults in the order of one seed."""

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
        if "CELERY_BROKER_URL" not in stack.environment:
            self.actions.append(self.fill_queue)

    def say(self, what: str) -> None:
        self.told.append(what)

    # -- what goes wrong ---------------------------------------------------------------
    def kill(self) -> None:
        name = self.dice.choice(PROCESSES)
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
        self.say(f"WeChat: {kind} x {calls}")
        self.sandbox.faults(kind, calls=calls, delay_s=self.dice.uniform(0.5, 17))

    def fill_queue(self) -> None:
        """The disk of the queue's folder is full: nothing can be written there."""
        down_s = self.dice.uniform(1, 5)
        self.say(f"full queue disk for {down_s:.1f} s")
        self.queue.rename(self.aside)
        with full_folder(self.queue):
            time.sleep(down_s)
        self.aside.rename(self.queue)

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
        account = self.sandbox.add_account(followers=people)
        appid = account["appid"]
        self.sandbox.settings(reply_delay_ms=[30, 120], push_patience_s=600)
        openids = [self.sandbox.openid(n, appid) for n in range(1, people + 1)]
        self.stack.start("web", "beat")
        send = self.stack.ask(
            SUBMIT,
            openids=openids,
            channel={
                "name": "Faults",
                "code": "faults",
                "appid": appid,
                "app_secret": account["secret"],
                "original_id": account["original_id"],
                "callback_token": TOKEN,
                "encoding_aes_key": AES_KEY,
                "connections": 100,
                # Slow enough that every fault meets a send under way.
                "rate_per_s": max(20, people // (2 * faults)),
            },
        )
        self.sandbox.callback(
            f"{self.stack.url}/v1/wechatoa/callback/faults",
            TOKEN,
            appid,
            mode="safe",
            encoding_aes_key=AES_KEY,
        )
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
                self.look(send)
        self.say(f"faults end, {accepted} of {people} accepted")
        self.sandbox.clear_faults()
        state = self.finish(send)
        self.prove(state, appid, openids)
        stats = self.sandbox.stats()
        return {
            "seconds": round(time.monotonic() - began, 1),
            "repeated": stats["repeated"],
            "tokens": stats["tokens_issued"],
            "unknown": len(state["unknown"]),
        }

    def look(self, send: int) -> dict:
        state = self.stack.ask(STATE, send=send, impatient=True)
        if state["paused"]:
            self.say(f"resumed after {state['paused']}")
        return state

    def finish(self, send: int) -> dict:
        until = time.monotonic() + 300
        while True:
            self.revive()
            state = self.look(send)
            if state["status"] == "finished" and set(state["rows"]) <= {
                "delivered",
                "unknown",
            }:
                return state
            assert time.monotonic() < until, f"not finished: {state}"
            time.sleep(1)

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
        assert issued <= 1 + 2 * self.deaths, (
            f"{issued} tokens for {self.deaths} deaths"
        )
        calls = self.sandbox.stats()["calls"][SEND]
        assert calls["0"] >= len(openids)


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
        path.rmdir()


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
            for name in PROCESSES:
                print(f"-- {name}\n{product.log(name)}", file=sys.stderr)
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
