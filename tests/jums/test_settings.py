"""What can be set is the same in settings, `.env.example` and the docs."""

import ast
import re
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from jums import env

ROOT = Path(__file__).parents[2]


def read_by_settings() -> set[str]:
    tree = ast.parse((ROOT / "jums/settings.py").read_text())
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def test_settings_read_what_the_contract_names():
    assert {"SECRET_KEY", "DATABASE_URL", "WECHAT_API_BASE"} < read_by_settings()


def test_env_example_names_every_variable_and_no_other():
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = {m[1] for line in lines if (m := re.match(r"#?([A-Z][A-Z_]+)=", line))}

    assert named == read_by_settings()


@pytest.mark.parametrize("page", ["docs/operations.md", "docs/operations.zh-CN.md"])
def test_the_docs_name_every_variable_and_no_other(page):
    table = (ROOT / page).read_text().split("<!-- settings -->")[1]
    named = set(re.findall(r"^\| `([A-Z][A-Z_]+)` \|", table, re.MULTILINE))

    assert named == read_by_settings()


def test_the_environment_wins_over_dotenv_and_names_ignore_case(tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("public_url=https://from-file.example\nDebug='true'\n")

    values = env.gather({"Public_Url": "https://from-env.example"}, dotenv)

    assert values["PUBLIC_URL"] == "https://from-env.example"
    assert values["DEBUG"] == "true"


def test_a_secret_may_come_from_a_file(tmp_path):
    (tmp_path / "secret").write_text("from a file\n")
    environment = {"SECRET_KEY_FILE": str(tmp_path / "secret")}

    assert env.gather(environment, tmp_path / ".env")["SECRET_KEY"] == "from a file"


def test_a_secret_file_that_is_not_there_stops_the_start(tmp_path):
    environment = {"SECRET_KEY_FILE": str(tmp_path / "absent")}

    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY_FILE"):
        env.gather(environment, tmp_path / ".env")


def test_a_kept_secret_is_made_once_and_ours_alone(tmp_path):
    first = env.kept_secret(tmp_path / "data" / "secret_key", "secret_key")

    assert env.kept_secret(tmp_path / "data" / "secret_key", "secret_key") == first
    assert (tmp_path / "data" / "secret_key").stat().st_mode & 0o777 == 0o600
