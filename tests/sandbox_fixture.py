"""The fixture `sandbox`: a stand-in WeChat on a real port, clean for every test."""

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from sandbox.accounts import DEMO_APPID
from sandbox.bundled import SECOND_APPID
from sandbox.people import openid

ROOT = Path(__file__).parent.parent
SEND = "/cgi-bin/message/template/send"


class Refused(AssertionError):
    """The control API said no."""


class NotOffered(AssertionError):
    """The authorisation page showed an error instead of accounts."""


class SandboxProcess:
    """A running sandbox and its switches."""

    appid = DEMO_APPID
    secret = "5a0db0c5e70000015a0db0c5e7000001"

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "--port", "0", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.url = self._listening(30)
        self.http = requests.Session()
        self.http.trust_env = False

    def _listening(self, timeout_s: float) -> str:
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], timeout_s)[0]:
            self.process.kill()
            raise RuntimeError(f"no sandbox within {timeout_s} s")
        line = self.process.stdout.readline().decode()
        found = re.search(r"http://\S+?:\d+", line)
        if not found:
            raise RuntimeError(f"the sandbox did not start: {line!r}")
        return found[0]

    def stop(self) -> None:
        self.http.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()

    # -- the control API ---------------------------------------------------------------
    def control(self, method: str, path: str, body: Any = None, /, **query: Any) -> Any:
        """Do one control call; raise Refused with its sentence when it says no."""
        url = f"{self.url}/sandbox/api/{path}"
        answer = self.http.request(method, url, json=body, params=query, timeout=30)
        if answer.status_code != 200:
            raise Refused(f"{answer.status_code}: {answer.text}")
        return answer.json()

    def reset(self) -> None:
        """Back to the start: the demo account only, receipts at once."""
        self.control("POST", "reset", {})
        self.settings(receipt_delay_s=[0, 0])

    def settings(self, **switches: Any) -> dict[str, Any]:
        return self.control("PATCH", "settings", switches)

    def faults(self, kind: str, **where: Any) -> dict[str, Any]:
        """Switch a fault on; `calls`, `share`, `path`, `appid`, `openid`, `errcode`…"""
        return self.control("POST", "faults", {"kind": kind, **where})

    def clear_faults(self) -> None:
        self.control("DELETE", "faults")

    def account(self, appid: str = DEMO_APPID) -> dict[str, Any]:
        return self.control("GET", f"accounts/{appid}")

    def add_account(self, **of: Any) -> dict[str, Any]:
        return self.control("POST", "accounts", of)

    def change_account(self, appid: str = DEMO_APPID, **to: Any) -> dict[str, Any]:
        return self.control("PATCH", f"accounts/{appid}", to)

    def callback(self, url: str, token: str, appid: str = DEMO_APPID, **more) -> None:
        """Send receipts and events there, without the echostr check."""
        self.change_account(appid, callback={"url": url, "token": token, **more})

    def templates(self, appid: str = DEMO_APPID) -> dict[str, dict[str, Any]]:
        """Title -> template, as WeChat lists them."""
        return {t["title"]: t for t in self.account(appid)["templates"]}

    def shown(self, **where: Any) -> dict[str, Any]:
        """Counts of messages shown; `counts=1` adds openid -> times."""
        return self.control("GET", "shown", **where)

    def messages(self, of: str = "", **where: Any) -> list[dict[str, Any]]:
        return self.control("GET", "messages", openid=of, **where)["messages"]

    def stats(self) -> dict[str, Any]:
        return self.control("GET", "stats")

    def log(self, **where: Any) -> list[dict[str, Any]]:
        return self.control("GET", "log", **where)

    def push(
        self, fields: dict[str, Any], of: str = "", appid: str = DEMO_APPID
    ) -> Any:
        return self.control(
            "POST", "push", {"appid": appid, "openid": of, "fields": fields}
        )

    def wait_for(
        self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 15
    ) -> dict[str, Any]:
        """Return the stats once `condition(stats)` holds."""
        until = time.monotonic() + timeout_s
        while True:
            stats = self.stats()
            if condition(stats):
                return stats
            if time.monotonic() > until:
                raise AssertionError(f"not within {timeout_s} s: {stats}")
            time.sleep(0.02)

    # -- the third-party platform ------------------------------------------------------
    def platform(self, **to: Any) -> dict[str, Any]:
        """Show the platform, changed by what is named; `connect`: JUMS's address."""
        return self.control("PATCH", "platform", to)

    def push_ticket(self) -> dict[str, Any]:
        """Push a ticket now: `pushed`, HTTP `status`, `answer`."""
        return self.control("POST", "tickets")

    def scan(
        self,
        link: str,
        appid: str = SECOND_APPID,
        *,
        referer: str = "",
        without: Iterable[int] = (),
        order: str = "",
        twice: bool | None = None,
    ) -> str:
        """Authorise over a link of JUMS; return where the browser goes, "" nowhere.

        Does what a browser does that comes from `referer` (default: the address the
        link comes back to); `without` are the permission sets the administrator
        unticks. Raises NotOffered with the page's code, Refused by the page's switch.
        """
        parts = urlsplit(link)
        asked = dict(parse_qsl(parts.query))
        page = self.http.get(
            f"{self.url}{parts.path}?{parts.query}",
            headers={"Referer": referer or asked.get("redirect_uri", "")},
            timeout=30,
        )
        refused = re.search(r'data-refused="(\w+)"', page.text)
        if refused or page.status_code != 200:
            raise NotOffered(refused[1] if refused else str(page.status_code))
        phone = parts.path != "/cgi-bin/componentloginpage"
        link_of = {**asked, "on_phone": "1" if phone else ""}
        sets = self.control("GET", "authorisations", **link_of)["sets"]
        body = {"appid": appid, "order": order, "twice": twice, **link_of}
        body["func_ids"] = [n for n in sets if n not in set(without)]
        return self.control("POST", "authorisations", body)["redirect"]

    def change_sets(self, func_ids: list[int], appid: str = SECOND_APPID) -> None:
        """Let the administrator grant other permission sets (`updateauthorized`)."""
        self.control("PATCH", f"authorisations/{appid}", {"func_ids": func_ids})

    def deauthorise(self, appid: str = SECOND_APPID) -> None:
        """Let the administrator take the authorisation back (`unauthorized`)."""
        self.control("DELETE", f"authorisations/{appid}")

    def text(
        self, content: str, of: str = "", appid: str = DEMO_APPID
    ) -> dict[str, Any]:
        """Let someone write to an account; `reply` is the text that comes back."""
        body = {"appid": appid, "openid": of, "content": content}
        return self.control("POST", "texts", body)

    def release_test(self) -> dict[str, Any]:
        """Play the nationwide-release test; `cases` say `passed` and `reason`."""
        return self.control("POST", "release_test")

    # -- WeChat's side -----------------------------------------------------------------
    def openid(self, n: int, appid: str = DEMO_APPID) -> str:
        return openid(appid, n)

    def token(self, appid: str = DEMO_APPID, secret: str = secret, **more: Any) -> str:
        body = {
            "grant_type": "client_credential",
            "appid": appid,
            "secret": secret,
            **more,
        }
        return self.post("/cgi-bin/stable_token", body)["access_token"]

    def get(self, path: str, **query: Any) -> Any:
        return self.http.get(self.url + path, params=query, timeout=30).json()

    def post(self, path: str, body: Any, **query: Any) -> Any:
        return self.http.post(
            self.url + path, json=body, params=query, timeout=30
        ).json()


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[SandboxProcess]:
    running = SandboxProcess()
    yield running
    running.stop()


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> SandboxProcess:
    """The stand-in WeChat: demo account, no faults, receipts without delay."""
    sandbox_process.reset()
    return sandbox_process
