from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from tests.factories import ChannelFactory, OpenIDFactory
from users import binding, followers
from users.follower_pages import openid_in
from users.models import Follower, FollowerSync, LoginPage, OpenID, VerificationFile

pytestmark = pytest.mark.django_db

LOGIN = "https://shop.example.com/login"


def openid(number):
    return f"o{number:027d}"


@pytest.fixture
def channel():
    return ChannelFactory(code="shop", name="Shop")


@pytest.fixture
def operator(person):
    return person(
        "users.view_recipient",
        "users.add_recipient",
        "users.change_recipient",
        "users.add_loginpage",
        "users.delete_loginpage",
    )


@pytest.fixture
def post(operator):
    """Press a button of the channel's pages; return the page that follows."""
    operator.handler.enforce_csrf_checks = False

    def post(name, *args, **data):
        address = reverse(f"admin:users_collect_{name}", args=["shop", *args])
        return operator.post(address, data, follow=True, format="multipart")

    return post


def get(client, name):
    return client.get(reverse(f"admin:users_collect_{name}", args=["shop"]))


def text(answer):
    return answer.content.decode()


# -- collecting ------------------------------------------------------------------------


def test_one_channel_alone_is_shown_at_once_several_as_a_list(operator, channel):
    overview = reverse("admin:users_loginpage_changelist")
    assert operator.get(overview)["Location"].endswith("/shop/")

    ChannelFactory(code="other", name="Other account")

    assert "Other account" in text(operator.get(overview))


def test_a_login_page_is_registered_and_removed(channel, post):
    post("add", url=LOGIN, below="on")
    row = LoginPage.objects.get()
    assert (row.url, row.below, row.channel) == (LOGIN, True, channel)

    assert "registered already" in text(post("add", url=LOGIN))
    post("remove", row.pk)

    assert not LoginPage.objects.exists()


@pytest.mark.parametrize("url", ["javascript:alert(1)", "shop", "https://a@b.net/x"])
def test_an_address_that_is_none_is_refused(channel, post, url):
    answer = post("add", url=url)

    assert "A plain address" in text(answer)
    assert not LoginPage.objects.exists()


def test_a_page_of_another_channel_is_not_removed_here(channel, post):
    other = LoginPage.objects.create(channel=ChannelFactory(), url=LOGIN)

    assert post("remove", other.pk).status_code == 404


def test_a_link_is_made_shown_with_its_code_and_not_kept(channel, post, operator):
    answer = post("link", userid="zhangsan", life_s="86400")

    link = answer.context["link"]
    assert "<svg" in link["qr"]
    token = link["url"].partition("link=")[2].replace("%3A", ":")
    assert binding.read_link(channel, token).userid == "zhangsan"
    assert token[:20] not in text(get(operator, "channel"))


def test_wechats_verification_file_is_found_at_the_root(channel, post, client):
    name = "MP_verify_0DzPFTlm1kUaGdyk.txt"
    post("file", file=SimpleUploadedFile(name, b"0DzPFTlm1kUaGdyk\n"))

    answer = client.get(f"/{name}")

    assert answer.content == b"0DzPFTlm1kUaGdyk"
    assert answer["Content-Type"].startswith("text/plain")
    assert client.get("/MP_verify_another.txt").status_code == 404


@pytest.mark.parametrize(
    ("name", "content"),
    [("page.html", b"x"), ("MP_verify_x.txt", b"x" * 201), ("MP_a.txt", b"\xff")],
)
def test_any_other_file_is_refused(channel, post, name, content):
    post("file", file=SimpleUploadedFile(name, content))

    assert not VerificationFile.objects.exists()


# -- the quick test plan ---------------------------------------------------------------


def test_a_follower_bound_to_nobody_is_bound_with_one_click(channel, post, operator):
    followers.heard(channel.pk, [(openid(1), True, timezone.now())])
    assert openid(1) in text(get(operator, "followers"))

    answer = post("bind", openid=openid(1), userid="zhangsan")

    assert "zhangsan is bound" in text(answer)
    row = OpenID.objects.get()
    assert (row.openid, row.followed) == (openid(1), True)
    assert "None: every" in text(answer) or "Read the list" in text(answer)


def test_what_binding_did_is_told(channel, post):
    OpenIDFactory(channel=channel, openid=openid(1), recipient__userid="lisi")
    OpenIDFactory(channel=channel, openid=openid(2), recipient__userid="zhangsan")

    answer = text(post("bind", openid=openid(1), userid="zhangsan"))

    assert "the former openID is replaced" in answer
    assert "also belongs to lisi" in answer
    assert "letters, digits" in text(post("bind", openid=openid(1), userid="a b"))


def test_who_follows_now_appears_while_one_watches(channel, post, operator):
    long_ago = timezone.now() - timedelta(hours=1)
    followers.heard(channel.pk, [(openid(1), True, long_ago)])
    post("watch")
    assert "Waiting for a new follower" in text(get(operator, "arrivals"))

    followers.heard(channel.pk, [(openid(2), True, timezone.now())])

    shown = text(get(operator, "arrivals"))
    assert openid(2) in shown
    assert openid(1) not in shown
    assert 'form="bind"' in shown


def test_the_list_is_queued_and_its_progress_shown(channel, post, operator):
    post("sync")
    assert FollowerSync.objects.get().status == "queued"

    live = get(operator, "sync_live")
    assert "X-Live" not in live
    FollowerSync.objects.update(status="finished", read=3, total=3)
    assert get(operator, "sync_live")["X-Live"] == "reload"


def test_a_disabled_channels_list_is_not_read(channel, post):
    channel.enabled = False
    channel.save()

    post("sync")

    assert not FollowerSync.objects.exists()


def test_a_refusal_is_explained_and_one_can_go_on(channel, post, operator):
    FollowerSync.objects.create(
        channel=channel, status="failed", errcode=48001, errmsg="api unauthorized"
    )
    assert "api unauthorized" in text(get(operator, "followers"))

    post("sync", go_on="1")

    assert FollowerSync.objects.get().status == "queued"


def test_a_test_account_is_told_what_it_cannot_do(channel, operator):
    FollowerSync.objects.create(channel=channel, daily_limit=100)

    assert "At most 100 followers" in text(get(operator, "followers"))


@pytest.mark.parametrize(
    "pasted",
    [
        "https://mp.weixin.qq.com/cgi-bin/singlesendpage?t=message/send&action=index"
        f"&tofakeid={openid(7)}&token=123456&lang=zh_CN",
        f"mp.weixin.qq.com/cgi-bin/singlesendpage?tofakeid={openid(7)}",
        f"https://mp.weixin.qq.com/x#/chat?tofakeid={openid(7)}&a=1",
        f"  {openid(7)} ",
    ],
)
def test_the_tofakeid_of_a_chat_page_is_the_openid(channel, post, pasted):
    answer = post("paste", address=pasted)

    assert answer.context["pasted"]["openid"] == openid(7)
    assert "token=123456" not in text(answer)


@pytest.mark.parametrize(
    "pasted",
    ["", "https://mp.weixin.qq.com/?tofakeid=123", "https://[", f"x{openid(7)}"],
)
def test_anything_else_holds_no_openid(channel, post, pasted):
    assert openid_in(pasted) == ""
    assert "There is no tofakeid" in text(post("paste", address=pasted))


def test_a_page_of_followers_costs_as_many_queries_as_any_other(
    channel, operator, django_assert_max_num_queries
):
    now = timezone.now()
    followers.heard(channel.pk, [(openid(n), True, now) for n in range(200)])
    followers.watch(channel)
    address = reverse("admin:users_collect_followers", args=["shop"])
    operator.get(address)

    with django_assert_max_num_queries(14):
        first = operator.get(address)
        last_pk = first.context["next_before"]
    with django_assert_max_num_queries(14):
        second = operator.get(f"{address}?before={last_pk}")

    seen = [row.pk for row in first.context["unbound"]]
    assert len(seen) == 50
    assert max(row.pk for row in second.context["unbound"]) < min(seen)
    assert Follower.objects.count() == 200


@pytest.mark.parametrize(
    "name", ["add", "link", "file", "sync", "watch", "paste", "bind"]
)
def test_whoever_may_only_look_changes_nothing(channel, person, name):
    client = person("users.view_recipient")
    client.handler.enforce_csrf_checks = False
    assert get(client, "channel").status_code == 200
    assert get(client, "followers").status_code == 200
    address = reverse(f"admin:users_collect_{name}", args=["shop"])

    assert client.post(address, {}, format="multipart").status_code == 403


def test_whoever_may_not_see_people_sees_nothing(channel, person):
    client = person("sends.view_send")

    assert get(client, "channel").status_code == 403
    assert get(client, "followers").status_code == 403
