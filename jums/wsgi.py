"""`jums.wsgi:application`, what the web server runs."""

import os

from django.core.wsgi import get_wsgi_application

from jums.bodies import WholeBodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jums.settings")

application = WholeBodies(get_wsgi_application())
