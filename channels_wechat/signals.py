"""What this app tells those that build on it, and that it must not import."""

from django.dispatch import Signal

# An account withdrew its authorisation. `channel`: nothing may be sent by it from now.
authorization_ended = Signal()
# An account was authorised, again or for the first time. `channel`.
authorized = Signal()
