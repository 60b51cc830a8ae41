"""A standing cast: one channel, its templates, its people. Factories without logic."""

import secrets

import factory
from django.contrib.auth import get_user_model

from channels_wechat.models import Channel
from sends.models import Send
from templates_mgmt.models import Template
from users.models import OpenID, Recipient, RecipientTag


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = get_user_model()
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"operator{n}")
    is_staff = True
    password = factory.django.Password("correct horse")


class ChannelFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Channel

    name = factory.Sequence(lambda n: f"Account {n}")
    code = factory.Sequence(lambda n: f"account{n}")
    appid = factory.Sequence(lambda n: f"wx{n:016x}")
    app_secret = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"
    original_id = factory.Sequence(lambda n: f"gh_{n:012x}")
    callback_token = "tokentokentoken"
    encoding_aes_key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


class TemplateFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Template

    channel = factory.SubFactory(ChannelFactory)
    template_id = factory.Sequence(lambda n: f"tpl{n:040d}")
    title = "Meeting reminder"
    content = "Topic:{{thing1.DATA}}\nTime:{{time2.DATA}}"
    example = "Topic:Weekly\nTime:10:00"
    fields = [
        {"key": "thing1", "label": "Topic", "type": "thing"},
        {"key": "time2", "label": "Time", "type": "time"},
    ]


class RecipientFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Recipient

    userid = factory.Sequence(lambda n: f"user{n}")


class TagFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = RecipientTag

    recipient = factory.SubFactory(RecipientFactory)


class OpenIDFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = OpenID

    channel = factory.SubFactory(ChannelFactory)
    recipient = factory.SubFactory(RecipientFactory)
    openid = factory.Sequence(lambda n: f"o{n:027d}")


class SendFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Send

    msgid = factory.Sequence(lambda n: f"v:1t:1603707455p:{n}n:2")
    dedupe_key = factory.LazyFunction(lambda: secrets.token_hex(6))
    template = factory.SubFactory(TemplateFactory)
    channel = factory.SelfAttribute("template.channel")
    data = {"thing1": "Weekly", "time2": "10:00"}
