from django.db import migrations, models
from django.db.models import Count


def count(apps, schema_editor):
    user_list = apps.get_model("users", "UserList")
    for row in user_list.objects.annotate(counted=Count("entries")).iterator():
        user_list.objects.filter(pk=row.pk).update(size=row.counted)


class Migration(migrations.Migration):
    dependencies = [("users", "0005_followers")]

    operations = [
        migrations.AddField(
            model_name="userlist",
            name="size",
            field=models.PositiveIntegerField(
                db_default=0, default=0, editable=False, verbose_name="people"
            ),
        ),
        migrations.AlterField(
            model_name="segment",
            name="created_at",
            field=models.DateTimeField(auto_now_add=True, verbose_name="created"),
        ),
        migrations.AlterField(
            model_name="userlist",
            name="created_at",
            field=models.DateTimeField(auto_now_add=True, verbose_name="created"),
        ),
        migrations.RunPython(count, migrations.RunPython.noop, elidable=True),
    ]
