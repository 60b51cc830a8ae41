"""The console's pages of users."""

from django.contrib import admin

from .models import Recipient, Upload
from .recipient_pages import RecipientAdmin
from .upload_pages import UploadAdmin

admin.site.register(Recipient, RecipientAdmin)
admin.site.register(Upload, UploadAdmin)
