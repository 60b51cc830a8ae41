"""WeChat's server API in plain Python: no Django, no queue, no database.

Where things are:

* `errors`     what WeChat's numbers mean and whose move is next; start here
* `calls`      one call: connection, bounds, errcode
* `client`     one method per endpoint (token, templates, users, quotas), over requests
* `bulk`       thousands of sends over many kept connections, over libcurl
* `messages`   a template message compiled once and rendered per recipient
* `limits`     the fields of a template, and which values WeChat will take
* `callbacks`  what WeChat pushes to us: verified, decrypted, parsed
* `notices`    what those pushes say of subscribe-notifications
* `component`  the same calls for a third-party platform, and its authorisation pages
* `component_events`, `replies`  what is pushed to a platform, and answered at once
* `crypto`     signatures and encryption of those pushes

Nothing here keeps state between calls but a connection: tokens come from a
`client.TokenSource`, and times from whoever calls.
"""
