"""The document of the studies, from files made up here and from those committed."""

import json
import pathlib

import pytest
import studies_table

CELL = {
    "dataset": "hopper-medium",
    "family": "kernel",
    "seconds": {},
    "provenance": {},
}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) + "\n")


@pytest.fixture
def folder(tmp_path):
    for row, score in (("pbc", 40.0), ("pbc_knn_0.25", 60.0), ("pbc_kde_0.1", 50.0)):
        for seed in (0, 1):
            found = {**CELL, "row": row, "seed": seed, "returns": {"kernel": [[score + seed] * 2]}}
            write(tmp_path / f"hopper-medium/{row}-kernel-{seed}.json", found)
    for part, start in (("random", 10.0), ("quality", 20.0)):
        for seed in (0, 1):
            points = [
                {"step": step, "loss": 0.1 / (step + 1), "pivotal": 0.2, "surrounding": 0.3}
                | {"return": start + step + seed}
                for step in (0, 10)
            ]
            study = {"dataset": "hopper-medium", "part": part, "seed": seed, "points": points}
            write(tmp_path / f"diversity/hopper-medium/{part}-{seed}.json", study)
    # A seed that not all parts have does not count.
    write(tmp_path / "diversity/hopper-medium/quality-2.json", {**study, "seed": 2, "points": []})
    scored = [
        {"set": "hopper-medium/a", "students": "residual", "per_student": [1.0, 3.0]},
        {"set": "hopper-medium/b", "students": "kernel", "per_student": []},
        {"set": "walker2d-medium/a", "students": "kernel", "per_student": [7.0]},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in scored)
    (tmp_path / "generalization.jsonl").write_text(lines)
    lever = {
        "cell": {"lever": "two students", "dataset": "hopper-medium"},
        "result": {
            "": {"loss": 0.25, "return": 30.0},
            ", averaged": {"loss": 0.125, "return": 40.0},
        },
    }
    (tmp_path / "levers.jsonl").write_text(2 * (json.dumps(lever) + "\n"))
    trial = {
        "cell": {"settings": {"depth": 2}, "dataset": "hopper-medium", "seconds": 8.0},
        "result": {"share": 0.5},
    }
    write(tmp_path / "search.jsonl", trial)
    other = {**trial["cell"], "base": {"student": "mlp"}, "settings": {"inner_steps": 20}}
    with (tmp_path / "search.jsonl").open("a") as file:
        file.write(json.dumps({"cell": other, "result": {"share": 0.25}}) + "\n")
    return tmp_path


def test_the_document_has_every_study(folder, tmp_path):
    text = studies_table.document(folder)
    assert "| PBC, hopper-medium | knn | 40.5 (40, 41) |  | 60.5 (60, 61) |" in text
    assert "| return | random | 10.5 | 20.5 |" in text
    assert "| return | quality | 20.5 | 30.5 |" in text
    assert "| loss on its own states | random | 0.1000 | 0.0091 |" in text
    assert "| hopper-medium, students | a | b |" in text
    assert "| residual | 2.0 (1 to 3) |  |" in text
    assert "| kernel |  | diverges |" in text
    assert "| walker2d-medium, students | a |\n| --- | --- |\n| kernel | 7.0 (7 to 7) |" in text
    assert "|  | loss, hopper-medium | return, hopper-medium |" in text
    assert "| two students | 0.2500 0.2500 | 30.0 30.0 |" in text
    assert "| two students, averaged | 0.1250 0.1250 | 40.0 40.0 |" in text
    sections = text.split("### For the ")
    kernel, mlp = (section.split("\n\n", 1)[1] for section in sections[1:])
    head = "8 seconds, 1 candidates:\n\n| mean | settings | hopper-medium |"
    assert kernel.startswith(head)
    assert mlp.startswith(head)
    assert "| 0.50 | depth=2 | 0.50 |" in kernel
    assert "| 0.25 | inner_steps=20 | 0.25 |" in mlp
    studies_table.run(studies_table.DocumentSettings(str(folder), str(tmp_path / "studies.md")))
    assert (tmp_path / "studies.md").read_text() == text
    assert (tmp_path / "studies.png").read_bytes().startswith(b"\x89PNG")


def test_studies_that_were_not_made_have_no_section(folder):
    for name in ("generalization.jsonl", "search.jsonl", "levers.jsonl"):
        (folder / name).unlink()
    text = studies_table.document(folder)
    assert "## Density weights" in text
    assert "## Other students" not in text
    assert "## Search" not in text
    assert "## The same work" not in text


def test_the_committed_document_is_that_of_the_committed_files():
    docs = pathlib.Path(studies_table.__file__).parents[2] / "docs"
    assert (docs / "studies.md").read_text() == studies_table.document(docs / "results")
