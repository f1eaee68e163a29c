"""Everything that is written off the server, on a storage that is no plain folder: written, read back, relied upon."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.sdk import ObjectStoragePath
from moto.server import ThreadedMotoServer
from upath import UPath

from tests.backup.conftest import Open
from tests.backup.helpers import LI3INF01, the_set
from tests.backup.test_file_contents import Declared, declared, named_by_moodle
from tests.backup.test_mbz import Ground
from transition import filedir
from transition.backup import mbz
from transition.backup.coverage import stale_spaces
from transition.backup.stage import july_backup
from transition.errors import TransitionError
from transition.grades import grade_exports, missing_exports
from transition.report.stage import report
from transition.restore.drill import latest_year, restore_drill
from transition_airflow.connections import storage_root

__all__ = ["declared"]  # the fixture


@pytest.fixture(params=["memory", "object storage", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UPath]:
    """A storage that is no plain folder; an S3 server is reached by an Airflow connection."""
    if request.param == "memory":
        yield UPath("memory://stockage")
    elif request.param == "object storage":
        yield ObjectStoragePath(f"file://{tmp_path}/objets")
    else:
        server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
        address = "http://{}:{}".format(*server.get_host_and_port())
        described = {"conn_type": "aws", "login": "compte", "password": "secret",
                     "extra": {"endpoint_url": address, "region_name": "eu-west-3"}}  # fmt: skip
        monkeypatch.setenv("AIRFLOW_CONN_AWS_TRANSITION", json.dumps(described))
        S3Hook("aws_transition").create_bucket("seau")
        found = storage_root("s3://aws_transition@seau/prefixe")
        assert found is not None
        yield found
        server.stop()


def test_on_an_object_store(
    open_campaign: Open, declared: Declared, few_rules: None, tmp_path: Path, root: UPath
) -> None:
    ground = Ground(open_campaign, tmp_path)
    mine = ground.campaign("essai", courses=("LI3INF01",))
    dataroot = declared("ailleurs").platform.dataroot
    campaign = replace(mine, root=root, platform=mine.platform.model_copy(update={"dataroot": dataroot}))
    july_backup(campaign)
    assert ground.calls() == [LI3INF01]
    assert stale_spaces(campaign) == {}
    july_backup(campaign)
    assert ground.calls() == [], "its .mbz is found again"
    [made] = mbz.latest(campaign, LI3INF01)
    assert made.activities == len(ground.facts[LI3INF01]["activities"])

    # A content that Moodle loses comes back; one that the storage loses is missed, then made up for.
    [named] = named_by_moodle(campaign).values()
    lost = filedir._in(filedir._filedir(campaign), min(named))
    Path(str(lost)).unlink()
    filedir.put_back(campaign, list(named))
    assert filedir._sha1(lost) == lost.name
    assert lost.stat().st_mode & 0o044 == 0o044, "Moodle reads it under another account"
    (root / campaign.platform.name / "2026" / "filedir" / lost.name[:2] / lost.name[2:4] / lost.name).unlink()
    assert stale_spaces(campaign).keys() == {LI3INF01}
    july_backup(campaign)
    assert stale_spaces(campaign) == {}

    parquet = the_set(campaign).folder / "assign_submission.parquet"
    parquet.write_bytes(parquet.read_bytes()[:-10])
    assert "octets au lieu de" in stale_spaces(campaign)[LI3INF01]
    july_backup(campaign)

    grade_exports(campaign)
    assert missing_exports(campaign) == {}
    assert latest_year(replace(campaign, year=2030)) == 2026
    restore_drill(campaign, 1, 0)
    stored = root / campaign.platform.name / "2026" / "mbz" / str(LI3INF01) / made.file
    good = stored.read_bytes()
    stored.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(TransitionError, match=rf"LI3INF01 : {made.file}, fichier \.mbz de Moodle, est altéré"):
        restore_drill(replace(campaign, run_id="essai 2"), 1, 0)
    stored.write_bytes(good)
    report(campaign)
    reports = root / campaign.platform.name / "2026" / "reports"
    proofs = [json.loads(path.read_bytes()) for path in reports.glob("*.json")]
    assert len(proofs) == 3
    assert not (tmp_path / "stockage").exists(), "nothing went to a plain folder"
