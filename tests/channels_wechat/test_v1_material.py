"""POST /v1/material: chapter 7 of the JUMS API."""

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from channels_wechat import tasks
from channels_wechat.models import Material
from tests.jums_fixture import refusal

pytestmark = pytest.mark.django_db


def file(content=b"content", name="报价.pdf"):
    return SimpleUploadedFile(name, content)


@pytest.mark.parametrize(
    ("given", "hours"),
    [
        ({}, 24),
        ({"time_to_live": ""}, 24),
        ({"time_to_live": "1"}, 1),
        ({"time_to_live": 168}, 168),
    ],
    ids=["absent", "empty", "shortest", "longest"],
)
def test_a_file_is_kept_for_its_hours_and_then_gone(shop, given, hours):
    answer = shop.upload(type="attachment", file=file(), **given)

    body = answer.json()
    assert (answer.status_code, body["code"], body["message"]) == (200, 0, "success")
    assert body["url"].startswith("https://jums.example.com/")
    material = Material.objects.get()
    assert material.business_channel == shop.row
    stored = Path(material.file.path)
    assert stored.read_bytes() == b"content"
    for passed, there in [(hours - 0.1, True), (hours + 0.1, False)]:
        with time_machine.travel(timezone.now() + timedelta(hours=passed)):
            tasks.tidy()
        assert Material.objects.exists() is stored.exists() is there


def test_the_address_is_no_download(shop, client):
    url = shop.upload(type="attachment", file=file()).json()["url"]

    assert client.get(url.removeprefix("https://jums.example.com")).status_code == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"file": True},
        {"type": "", "file": True},
        {"type": "image", "file": True},
        {"type": ["attachment", "attachment"], "file": True},
        {"type": "attachment"},
        {"type": "attachment", "file": "no file, a text"},
        {"type": "attachment", "file": 2},
        {"type": "attachment", "file": True, "time_to_live": "0"},
        {"type": "attachment", "file": True, "time_to_live": "169"},
        {"type": "attachment", "file": True, "time_to_live": "-1"},
        {"type": "attachment", "file": True, "time_to_live": "1.5"},
        {"type": "attachment", "file": True, "time_to_live": "１２"},
        {"type": "attachment", "file": True, "time_to_live": "9" * 5000},
    ],
    ids=lambda fields: " ".join(f"{n}={v}"[:30] for n, v in fields.items()),
)
def test_what_cannot_be_kept_is_4004(shop, fields):
    made = {True: file(), 2: [file(), file()]}
    given = fields.get("file")
    fields = fields | ({"file": made.get(given, given)} if given else {})

    assert refusal(shop.upload(**fields)) == (400, 4004)
    assert not Material.objects.exists()


@pytest.mark.parametrize(("extra", "code"), [(0, 0), (1, 4004)])
def test_twenty_megabytes_and_no_more(shop, extra, code):
    content = bytes(20 * 1024 * 1024 + extra)

    answer = shop.upload(type="attachment", file=file(content))

    assert answer.json()["code"] == code
    for material in Material.objects.all():
        material.file.delete()


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", "{}", 415),
        ("multipart/form-data", "--", 400),
        ("multipart/form-data; boundary=x", "--x\r\nbroken", 400),
        ("multipart/form-data; boundary=\u00e9", "", 400),
    ],
)
def test_what_is_no_form_is_4004(shop, content_type, body, status):
    answer = shop.post("material", body, content_type=content_type)

    assert refusal(answer) == (status, 4004)
