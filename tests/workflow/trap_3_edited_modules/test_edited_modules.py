"""Trap 3: Snakemake does not see an edit inside an imported package.

Expected: an edit of a module runs again the stages that import it, directly or not, and no other; DVC's stages follow
the same modules. (More of this on single stages is in test_reruns.py.)
"""

import json
import os
import time

import pytest
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.slow


def test_an_edit_of_an_imported_module_runs_what_depends_on_it(pulled: Checkout) -> None:
    smoothing = "src/lightvad/smoothing.py"
    pulled.edit(smoothing, '"""', '"""Edited by a test. ')
    later = time.time() + 60
    os.utime(pulled.root / smoothing, (later, later))
    jobs = pulled.planned()
    assert {job.split()[0] for job in jobs} >= {"evaluate", "table", "figure", "report"}
    assert not {job.split()[0] for job in jobs} & {"fetch", "prepare", "detect", "pretrain", "train", "score", "maps"}
    stages = json.loads(pulled.dvc("status", "--json", "tables@plaza-smoke", "--with-deps").stdout)
    assert set(stages) == {"tables@plaza-smoke"}
