"""The console's pages of users."""

from django.contrib import admin

from .audience_pages import SegmentAdmin, UserListAdmin
from .collect_pages import LoginPageAdmin
from .models import LoginPage, Recipient, Segment, Upload, UserList
from .recipient_pages import RecipientAdmin
from .upload_pages import UploadAdmin

admin.site.register(Recipient, RecipientAdmin)
admin.site.register(Upload, UploadAdmin)
admin.site.register(UserList, UserListAdmin)
admin.site.register(Segment, SegmentAdmin)
admin.site.register(LoginPage, LoginPageAdmin)
