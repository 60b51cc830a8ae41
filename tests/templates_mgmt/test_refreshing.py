import pytest

from channels_wechat.wechat.errors import ChannelRefused, WeChatUnavailable
from templates_mgmt import refreshing, tasks
from templates_mgmt.models import Template
from tests.factories import ChannelFactory, SendFactory, TemplateFactory

pytestmark = pytest.mark.django_db


def titles(channel, kind="template"):
    templates = channel.templates.current().filter(kind=kind)
    return sorted(templates.values_list("title", flat=True))


def test_the_first_refresh_adds_every_template_with_its_fields(wechat):
    channel = ChannelFactory()

    refreshed = refreshing.refresh(channel)

    assert refreshed.template == (2, 0, 0, 0)
    meeting = channel.templates.get(title="会议预约提醒")
    assert meeting.fields == [
        {"key": "thing1", "label": "会议主题", "type": "thing"},
        {"key": "time2", "label": "会议时间", "type": "time"},
    ]
    assert meeting.example == "会议主题:周会\n会议时间:2024年5月8日 10:00"
    channel.refresh_from_db()
    assert channel.templates_refreshed_at is not None


def test_fields_of_historical_templates_have_labels_and_no_type(wechat):
    channel = ChannelFactory()

    refreshing.refresh(channel)

    order = channel.templates.get(title="订单发货通知")
    assert [(f["key"], f["label"], f["type"]) for f in order.fields] == [
        ("first", "", ""),
        ("keyword1", "订单编号", ""),
        ("keyword2", "快递公司", ""),
        ("remark", "", ""),
    ]


def test_the_systems_own_template_is_not_offered(wechat):
    channel = ChannelFactory()

    refreshing.refresh(channel)

    assert titles(channel) == ["会议预约提醒", "订单发货通知"]


def test_a_second_refresh_changes_nothing(wechat):
    channel = ChannelFactory()
    refreshing.refresh(channel)

    assert refreshing.refresh(channel).template == (0, 0, 0, 2)

    assert not channel.templates.exclude(changed_at=None).exists()


def test_a_changed_title_or_content_counts_once(wechat):
    channel = ChannelFactory()
    refreshing.refresh(channel)
    wechat.templates[1]["content"] += "\n会议地点:{{thing3.DATA}}"
    wechat.lists(wechat.templates)

    refreshed = refreshing.refresh(channel)

    assert refreshed.template == (0, 1, 0, 1)
    meeting = channel.templates.get(title="会议预约提醒")
    assert [field["key"] for field in meeting.fields] == ["thing1", "time2", "thing3"]
    assert meeting.changed_at is not None


def test_a_template_that_is_gone_stays_marked_with_its_sends(wechat):
    channel = ChannelFactory()
    refreshing.refresh(channel)
    send = SendFactory(template=channel.templates.get(title="会议预约提醒"))
    wechat.lists(wechat.templates[:1])

    refreshed = refreshing.refresh(channel)

    assert refreshed.template == (0, 0, 1, 1)
    send.template.refresh_from_db()
    assert send.template.removed_at is not None


def test_a_removed_template_that_comes_back_counts_as_added(wechat):
    channel = ChannelFactory()
    refreshing.refresh(channel)
    wechat.lists([])
    assert refreshing.refresh(channel).template == (0, 0, 2, 0)
    assert refreshing.refresh(channel).template == (0, 0, 0, 0)
    wechat.lists(wechat.templates)

    refreshed = refreshing.refresh(channel)

    assert refreshed.template == (2, 0, 0, 0)
    assert Template.objects.filter(kind="template").count() == 2
    assert titles(channel) == ["会议预约提醒", "订单发货通知"]


def test_another_channels_templates_are_left_alone(wechat):
    other = TemplateFactory()

    refreshing.refresh(ChannelFactory())

    other.refresh_from_db()
    assert other.removed_at is None


def test_two_channels_may_have_the_same_template_id(wechat):
    # The id is the library's on some accounts.
    one, two = ChannelFactory(), ChannelFactory()

    assert refreshing.refresh(one).template == (2, 0, 0, 0)
    assert refreshing.refresh(two).template == (2, 0, 0, 0)


def test_a_list_with_the_same_template_twice_is_read_once(wechat):
    channel = ChannelFactory()
    wechat.lists([wechat.templates[0], wechat.templates[0]])

    assert refreshing.refresh(channel).template == (1, 0, 0, 0)


def test_oversized_and_odd_texts_are_stored_as_far_as_they_fit(wechat):
    channel = ChannelFactory()
    template = wechat.templates[1] | {"title": "长" * 300, "example": "a\x00b\r\nc"}
    wechat.lists([template, wechat.templates[0] | {"template_id": "x" * 65}])

    assert refreshing.refresh(channel).template == (1, 0, 0, 0)

    stored = channel.templates.get(kind="template")
    assert (stored.title, stored.example) == ("长" * 200, "ab\nc")


def test_a_refusal_changes_nothing(wechat):
    channel = ChannelFactory()
    refreshing.refresh(channel)
    before = channel.templates_refreshed_at
    wechat.answers({"errcode": 48001, "errmsg": "api unauthorized rid: 1-2-3"})

    with pytest.raises(ChannelRefused):
        refreshing.refresh(channel)

    channel.refresh_from_db()
    assert channel.templates_refreshed_at == before
    assert len(titles(channel)) == 2


def test_an_answer_without_a_list_is_no_empty_list(wechat):
    channel = ChannelFactory()
    refreshing.refresh(channel)
    wechat.answers({})

    with pytest.raises(WeChatUnavailable):
        refreshing.refresh(channel)

    assert len(titles(channel)) == 2


def test_the_task_refreshes_and_logs_a_refusal(wechat, caplog):
    channel = ChannelFactory()
    tasks.refresh_templates(channel.pk)
    assert len(titles(channel)) == 2
    wechat.answers({"errcode": 48001, "errmsg": "api unauthorized"})

    tasks.refresh_templates(channel.pk)

    assert f"channel={channel.code} errcode=48001" in caplog.text


def test_the_task_leaves_disabled_and_deleted_channels_alone(wechat):
    channel = ChannelFactory(enabled=False)

    tasks.refresh_templates(channel.pk)
    tasks.refresh_templates(0)

    assert not Template.objects.exists()
    assert not wechat.mock.calls


class TestSubscribe:
    def test_the_terms_and_the_listed_values_are_kept(self, wechat):
        channel = ChannelFactory()

        assert refreshing.refresh(channel).subscribe == (2, 0, 0, 0)

        once = channel.templates.get(title="报名结果通知")
        always = channel.templates.get(title="洗衣机故障提醒")
        assert (once.kind, once.long_term) == ("subscribe", False)
        assert (always.kind, always.long_term) == ("subscribe", True)
        assert always.fields == [
            {
                "key": "enum_string2",
                "label": "设备状态",
                "type": "enum_string",
                "values": ["有效", "失效"],
            },
            {"key": "amount3", "label": "金额", "type": "amount"},
        ]
        assert always.problem_of("enum_string2", "失效") is None
        assert always.problem_of("enum_string2", "过期").code == "not_listed"
        assert always.problem_of("amount3", "¥12345678901").limit == 10

    def test_each_kind_is_compared_with_its_own_list(self, wechat):
        channel = ChannelFactory()
        refreshing.refresh(channel)
        gone = wechat.subscribe["data"].pop(0)
        wechat.subscribe["data"][0]["type"] = 2
        wechat.subscribe_answers(wechat.subscribe)

        refreshed = refreshing.refresh(channel)

        assert refreshed.template == (0, 0, 0, 2)
        assert refreshed.subscribe == (0, 1, 1, 0)
        assert gone["title"] not in titles(channel, "subscribe")

    @pytest.mark.parametrize(
        ("errcode", "errmsg"),
        [
            (48001, "api unauthorized"),
            (200100, "account type not allowed"),
            (61007, "api is unauthorized to component"),
        ],
    )
    def test_an_account_that_may_not_keeps_its_template_messages(
        self, wechat, errcode, errmsg
    ):
        channel = ChannelFactory()
        wechat.subscribe_answers({"errcode": errcode, "errmsg": errmsg})

        refreshed = refreshing.refresh(channel)

        assert refreshed.template == (2, 0, 0, 0)
        assert refreshed.subscribe == (0, 0, 0, 0)
        assert (refreshed.refused.errcode, refreshed.refused.errmsg) == (
            errcode,
            errmsg,
        )

    def test_a_list_that_cannot_be_had_removes_nothing(self, wechat):
        channel = ChannelFactory()
        refreshing.refresh(channel)
        wechat.subscribe_answers({"errcode": 0, "errmsg": "ok"})

        refreshed = refreshing.refresh(channel)

        assert isinstance(refreshed.refused, WeChatUnavailable)
        assert refreshed.subscribe == (0, 0, 0, 2)
        assert len(titles(channel, "subscribe")) == 2
