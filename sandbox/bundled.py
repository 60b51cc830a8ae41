"""The accounts a fresh sandbox knows: the demo's, and others to authorise."""

from dataclasses import replace

from .accounts import Account, demo_account, demo_templates
from .people import BLOCKS, FOLLOWS, openid

SECOND_APPID = "wx5a0db0c5e7000002"
SUBSCRIPTION_APPID = "wx5a0db0c5e7000003"
UNVERIFIED_APPID = "wx5a0db0c5e7000004"
MINIPROGRAM_APPID = "wx5a0db0c5e7000005"


def bundled_accounts() -> list[Account]:
    """Return the demo account first, then one of each kind that can be authorised."""
    return [
        demo_account(),
        second_account(),
        _other(SUBSCRIPTION_APPID, "云杉读书 Spruce Reading", kind="subscription"),
        _other(UNVERIFIED_APPID, "云杉新店 Spruce New Store", verified=False),
        _other(MINIPROGRAM_APPID, "云杉商城 Spruce Shop", kind="miniprogram"),
    ]


def second_account() -> Account:
    """Return the demo's second service account: 240 people.

    Openids are `people.openid(SECOND_APPID, n)`; number 50 has left, 77 blocks.
    """
    account = _other(SECOND_APPID, "云杉物业 Spruce Property")
    account.add_people(240)
    account.flag(openid(SECOND_APPID, 50), FOLLOWS, False)
    account.flag(openid(SECOND_APPID, 77), BLOCKS, True)
    for template in demo_templates():
        # The same template has another id in each account.
        made = replace(template, template_id=f"tS2{template.template_id[3:]}")
        account.templates[made.template_id] = made
    return account


def _other(
    appid: str, name: str, kind: str = "service", verified: bool = True
) -> Account:
    return Account(
        appid=appid,
        secret=appid[2:] * 2,
        original_id=f"gh_{appid[2:10]}{appid[-4:]}",
        name=name,
        kind=kind,
        verified=verified,
    )
