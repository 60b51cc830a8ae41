"""`manage.py demo`: the promise of the README, kept by the real thing."""

import os
import re

import pytest
from openpyxl import load_workbook

from jums.demonstrating import WORKBOOK
from sandbox.accounts import DEMO_APPID
from sandbox.people import openid


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_the_demo_accounts_for_every_message_also_the_second_time(
    environment, start, tmp_path
):
    for _ in range(2):
        demo = start("demo", "--exit")

        assert demo.wait(290) == 0, (tmp_path / "out").read_text()
        said = (tmp_path / "out").read_text()
        first, second = said.split("The second channel, authorised by a scan")
        became = dict(re.findall(r"^  (\w+) +(\d+)  ", first, re.MULTILINE))
        assert became["delivered"] == "979"
        assert became["undelivered"] == "10"
        assert re.search(r"accounted for +1,000  of 1,000", first)
        assert re.search(r"on phones +979  shown, 0 twice", first)
        assert re.search(r"accounted for +240  of 240", second)
        assert re.search(r"on phones +238  shown, 0 twice", second)
        assert re.search(r"Login +demo +Password +\S+", said)


@pytest.mark.stack
def test_the_demo_keeps_away_from_channels_of_ones_own(environment, start, tmp_path):
    os.makedirs(environment["DATA_DIR"])
    real = (
        "from channels_wechat.models import Channel; Channel.objects.create("
        "name='Real', code='real', appid='wx0123456789abcdef')"
    )
    assert start("migrate", "-v", "0").wait(60) == 0
    assert start("shell", "-v", "0", "-c", real).wait(60) == 0

    demo = start("demo", "--exit")

    assert demo.wait(60) == 1
    assert "holds channels of your own" in (tmp_path / "out").read_text()


def test_the_bundled_workbook_fits_the_sandbox():
    sheet = load_workbook(WORKBOOK).active
    header, *rows = sheet.iter_rows(values_only=True)

    assert header[:2] == ("userid", "wechatoa_openid")
    assert len(rows) == 1000
    assert [row[1] for row in rows] == [
        openid(DEMO_APPID, n) for n in range(1, len(rows) + 1)
    ]
