"""Why a call of the JUMS-compatible API is refused: JUMS' own codes, and a sentence.

The codes are JUMS' table; no other numbers are ever used. What has no code of its own
there is ILLEGAL with a sentence that names the field.
"""

from typing import Final

ILLEGAL: Final = 4004
NOT_AUTHENTICATED: Final = 4005
SERVER_ERROR: Final = 5000
TOO_MANY_USERIDS: Final = 1015004
DISABLED: Final = 1015005
# Channel types that this system does not have.
NO_APP: Final = 1015006
NO_SMS: Final = 1015007
CHANNEL_UNUSABLE: Final = 1015008
NO_MINIPROGRAM: Final = 1015009
NO_EMAIL: Final = 1015010
NO_ALIPAY: Final = 1015011
NO_DINGTALK: Final = 1015012
OWNER_NEEDED: Final = 1015023
STRATEGY_INVALID: Final = 1015026
BROADCASTS_USED_UP: Final = 1015029
TOO_OFTEN: Final = 1015030
NO_SUCH_TEMPLATE: Final = 1015031
NOT_GENERAL: Final = 1015032
SENSITIVE_WORD: Final = 1015034
QUIET_HOURS: Final = 1015038
NO_SUCH_BLACKLIST: Final = 1015046
ALREADY_RETRACTED: Final = 1015055
MSG_NOT_ALLOWED: Final = 1015094
BOTH_LISTS: Final = 1015097


class Refused(Exception):
    """A call that cannot be done."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


def illegal(name: str, sentence: str) -> Refused:
    """Return the refusal of one field of the request."""
    return Refused(ILLEGAL, f"{name}: {sentence}")
