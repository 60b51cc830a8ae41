from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("sends", "0011_pace")]

    operations = [
        migrations.AddIndex(
            model_name='send',
            index=models.Index(condition=models.Q(('status', 'in_review')), fields=['id'], name='send_in_review'),
        ),
    ]
