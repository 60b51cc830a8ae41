"""The public library against the sandbox: looking, adding, removing."""

import pytest
from django.core.cache import cache

from channels_wechat.wechat.errors import TemplateRefused, WeChatUnavailable
from sends.models import Send
from templates_mgmt import library
from templates_mgmt.models import Template
from templates_mgmt.refreshing import refresh
from tests.factories import ChannelFactory, SendFactory, TemplateFactory

pytestmark = pytest.mark.django_db
ADD = "/wxaapi/newtmpl/addtemplate"
REMOVE = "/wxaapi/newtmpl/deltemplate"


@pytest.fixture
def channel(settings, sandbox):
    cache.clear()
    settings.WECHAT_API_BASE = sandbox.url
    return ChannelFactory(code="spruce", appid=sandbox.appid, app_secret=sandbox.secret)


def calls(sandbox, path):
    return sum(sandbox.stats()["calls"].get(path, {}).values())


def test_a_search_reads_every_page_of_the_library_once(channel, sandbox):
    path = "/wxaapi/newtmpl/getpubtemplatetitles"
    everything = library.titles(channel)
    assert len(everything) > 27
    assert calls(sandbox, path) == len(everything) // 30 + bool(len(everything) % 30)

    found = library.titles(channel, words="缴费 通知")

    assert [title.title for title in found] == ["缴费成功通知", "停车缴费通知"]
    assert calls(sandbox, path) == 1 + (len(everything) > 30)


def test_titles_of_one_category_and_their_kind(channel):
    by_name = {category.name: category.id for category in library.categories(channel)}

    found = library.titles(channel, by_name["城市公用服务"])

    assert {title.category for title in found} == {616}
    assert all(title.long_term for title in found)
    assert found[0].title == "停水通知"


def test_keywords_name_the_type_of_their_values(channel):
    keyword = library.keywords(channel, "2003")[2]

    assert (keyword.kid, keyword.name, keyword.key) == (3, "受理状态", "enum_string3")


def test_an_added_title_is_listed_with_what_was_picked(channel, sandbox):
    added = library.add_subscribe(channel, "2003", [3, 1], "报修进度提醒")

    assert (added.kind, added.removed_at) == ("subscribe", None)
    assert [field["key"] for field in added.fields] == [
        "enum_string3",
        "character_string1",
    ]
    assert "已完成" in added.fields[0]["values"]
    refresh(channel)
    added.refresh_from_db()
    assert (added.library_id, added.picked, added.scene) == (
        "2003",
        [3, 1],
        "报修进度提醒",
    )


def test_a_template_message_is_added_by_its_number(channel):
    added = library.add_template(channel, "47123", ["快递公司", "订单编号"])

    assert added.title == "订单发货提醒"
    assert (added.kind, added.picked) == ("template", ["快递公司", "订单编号"])
    assert [field["key"] for field in added.fields] == ["phrase2", "character_string1"]


def test_what_wechat_does_not_take_is_not_kept(channel):
    library.add_subscribe(channel, "2003", [3, 1], "报修进度提醒")
    before = Template.objects.count()

    with pytest.raises(TemplateRefused) as refused:
        library.add_subscribe(channel, "2003", [1, 3], "报修进度提醒")

    assert refused.value.errcode == 200022
    assert Template.objects.count() == before


def test_an_added_template_waits_for_the_list_when_that_fails(channel, sandbox):
    sandbox.faults("busy", path="/cgi-bin/template/get_all_private_template")

    added = library.add_subscribe(channel, "2003", [3, 1], "报修进度提醒")
    assert added.removed_at is not None

    sandbox.clear_faults()
    refresh(channel)
    added.refresh_from_db()
    assert added.removed_at is None
    assert added.title == "报修受理通知"
    assert added.picked == [3, 1]


def test_an_unseen_answer_is_an_error_and_the_refresh_tells(channel, sandbox):
    sandbox.faults("close", path=ADD, calls=1)

    with pytest.raises(WeChatUnavailable):
        library.add_subscribe(channel, "2003", [3, 1], "报修进度提醒")

    refresh(channel)
    assert Template.objects.current().filter(title="报修受理通知").exists()


def listed(sandbox):
    notices = sandbox.control("GET", "subscriptions")["notices"]
    return {notice["priTmplId"] for notice in notices}


def test_removing_takes_it_from_wechat_and_marks_it_here(channel, sandbox):
    template = library.add_subscribe(channel, "2003", [3, 1], "报修进度提醒")

    library.remove(template)

    template.refresh_from_db()
    assert template.removed_at is not None
    assert template.template_id not in listed(sandbox)


@pytest.mark.parametrize("fault", ["close", "bad_gateway_after"])
def test_removing_whose_answer_was_lost_is_settled_by_the_list(channel, sandbox, fault):
    template = library.add_template(channel, "47123", ["快递公司", "订单编号"])
    path = "/cgi-bin/template/del_private_template"
    sandbox.faults(fault, path=path, calls=1)

    library.remove(template)

    template.refresh_from_db()
    assert template.removed_at is not None


def test_a_template_that_wechat_no_longer_has_is_simply_gone(channel, sandbox):
    template = library.add_subscribe(channel, "2003", [3, 1], "报修进度提醒")
    token = sandbox.token()
    body = {"priTmplId": template.template_id}
    sandbox.post(REMOVE, body, access_token=token)

    library.remove(template)

    template.refresh_from_db()
    assert template.removed_at is not None


def test_a_template_that_stays_at_wechat_stays_here(channel, sandbox):
    template = library.add_subscribe(channel, "2003", [3, 1], "报修进度提醒")
    sandbox.faults("busy", path=REMOVE)

    with pytest.raises(WeChatUnavailable):
        library.remove(template)

    template.refresh_from_db()
    assert template.removed_at is None


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        (Send.Status.DRAFT, False),
        (Send.Status.SCHEDULED, True),
        (Send.Status.RUNNING, True),
        (Send.Status.PAUSED, True),
        (Send.Status.IN_REVIEW, True),
        (Send.Status.FINISHED, False),
    ],
)
def test_a_template_stays_while_sends_use_it(channel, sandbox, status, kept):
    refresh(channel)
    template = Template.objects.get(title="停水通知")
    SendFactory(template=template, status=status)

    if kept:
        with pytest.raises(library.TemplateInUse):
            library.remove(template)
    else:
        library.remove(template)

    assert (template.template_id in listed(sandbox)) is kept


def test_every_status_of_a_send_is_known_to_use_its_template_or_not():
    over = {"draft", "rejected", "finished", "canceled"}
    assert set(Send.Status.values) == over | set(library.UNDERWAY)
    assert hasattr(TemplateFactory.build(channel=None, pk=1), library.SENDS)
