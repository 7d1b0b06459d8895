"""The job scripts: checked, and run with stand-ins for what starts them."""

import json
import os
import pathlib
import random
import subprocess
import sys

import pytest
import yaml

pytestmark = pytest.mark.usefixtures("unoptimised")

ROOT = pathlib.Path(__file__).resolve().parents[2]
JOBS = ROOT / "jobs"
SCRIPTS = sorted([*JOBS.glob("*.sh"), *JOBS.glob("*.sbatch")])
SHELLCHECK = pathlib.Path(sys.executable).with_name("shellcheck")
TOY = (
    "--dataset=toy --density=gaussian --pairs=8 --batch_size=32 --students=1 --episodes=2 "
    "--curve_points=0"
)


def shellcheck(*arguments, **options):
    return subprocess.run(
        [SHELLCHECK, "--shell=bash", *arguments], capture_output=True, text=True, **options
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_finds_nothing(script):
    done = shellcheck(script)
    assert done.returncode == 0, done.stdout


def test_shellcheck_would_find_something():
    assert shellcheck("-", input="cd $1\n").returncode == 1


def stand_in(folder, name, text):
    """An executable of that name, found before any other."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{text}")
    (folder / name).chmod(0o755)


def environment_of(folder, **variables):
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHON": sys.executable, **variables}


def run(script, environment, *arguments):
    return subprocess.run(
        ["bash", JOBS / script, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_a_task_of_an_array_is_preempted_requeued_and_ends(tmp_path):
    # The first time, srun passes on the signal that SLURM sends when it needs the node.
    out = tmp_path / "runs" / "hopper-medium-1"
    stand_in(
        tmp_path / "bin",
        "srun",
        f"""
if [ -e {tmp_path}/preempted ]; then exec "$@"; fi
touch {tmp_path}/preempted
"$@" &
pid=$!
until [ -s {out}/metrics.jsonl ]; do sleep 0.1; done
kill -TERM $pid
wait $pid
""",
    )
    stand_in(tmp_path / "bin", "scontrol", f'echo "$@" >> {tmp_path}/requeued\n')
    environment = environment_of(
        tmp_path,
        OUT=str(tmp_path / "runs"),
        FLAGS=f"{TOY} --outer_steps=3000",
        SLURM_ARRAY_JOB_ID="7",
        SLURM_ARRAY_TASK_ID="13",
    )
    first = run("slurm_array.sbatch", environment)
    assert first.returncode == 75, first.stderr
    assert (tmp_path / "requeued").read_text() == "requeue 7_13\n"
    second = run("slurm_array.sbatch", environment)
    assert second.returncode == 0, second.stderr
    assert "resumes from step" in second.stderr
    config = json.loads((out / "results.json").read_text())["config"]
    assert config["seed"] == 1
    stand_in(tmp_path / "bin", "srun", "exit 9\n")  # What is finished is not started again.
    assert run("slurm_array.sbatch", environment).returncode == 0


def test_the_tasks_of_the_array_are_every_data_set_and_seed(tmp_path):
    stand_in(tmp_path / "bin", "srun", f'echo "$3 $4" >> {tmp_path}/started\n')
    for task in range(27):
        environment = environment_of(tmp_path, SLURM_ARRAY_TASK_ID=str(task))
        assert run("slurm_array.sbatch", environment).returncode == 0
    started = (tmp_path / "started").read_text().splitlines()
    assert len(set(started)) == 27
    assert "--dataset=walker2d-medium-expert --seed=2" in started


def test_a_population_runs_over_two_tasks(tmp_path):
    job = random.SystemRandom().randrange(10**6)  # JAX's port depends on it.
    stand_in(
        tmp_path / "bin",
        "srun",
        f"""
[ "$1" = --kill-on-bad-exit=1 ] && shift
export SLURM_JOB_ID={job} SLURM_STEP_NODELIST=localhost SLURM_NTASKS=2
SLURM_PROCID=1 SLURM_LOCALID=1 "$@" &
other=$!
SLURM_PROCID=0 SLURM_LOCALID=0 "$@"
code=$?
wait $other && exit $code
""",
    )
    environment = environment_of(
        tmp_path,
        OUT=str(tmp_path / "runs"),
        DATASET="toy",
        SEEDS="0,1",
        FLAGS=f"{TOY.replace('--curve_points=0', '')} --temperatures=0 --outer_steps=20",
    )
    done = run("slurm_population.sbatch", environment)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "runs/toy/results.json").read_text())
    assert (results["processes"], len(results["members"])) == (2, 2)


def test_a_box_runs_every_data_set_once(tmp_path):
    stand_in(tmp_path / "bin", "python", f'echo "$@" >> {tmp_path}/started\n')
    (tmp_path / "runs/b").mkdir(parents=True)
    (tmp_path / "runs/b/results.json").write_text("{}")
    environment = environment_of(
        tmp_path, PYTHON="python", OUT=str(tmp_path / "runs"), DATASETS="a b c", SEEDS="4,5"
    )
    assert run("gpu_box.sh", environment).returncode == 0
    started = (tmp_path / "started").read_text().splitlines()
    assert [line.split()[1:3] for line in started] == [
        ["--dataset=a", "--seeds=4,5"],
        ["--dataset=c", "--seeds=4,5"],
    ]
    stand_in(tmp_path / "bin", "python", "exit 75\n")
    assert run("gpu_box.sh", environment).returncode == 75


def test_a_tpu_is_waited_for_made_and_used(tmp_path):
    stand_in(
        tmp_path / "bin",
        "gcloud",
        f"""
echo "$@" >> {tmp_path}/calls
case "$*" in
  *queued-resources\\ describe*)
    if [ -e {tmp_path}/asked ]; then echo ACTIVE; else touch {tmp_path}/asked; echo WAITING; fi ;;
esac
""",
    )
    environment = environment_of(
        tmp_path, ZONE="z", BUCKET="gs://b", REPOSITORY="https://r", POLL_SECONDS="0"
    )
    done = run("tpu_queued.sh", environment, "mine")
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text()
    order = [
        "queued-resources create mine",
        "describe mine",
        "pip install",
        "--distributed",
        "rsync",
    ]
    places = [calls.index(words) for words in order]
    assert places == sorted(places)
    assert "tpu-vm create" not in calls  # The queue has made it.
    assert done.stdout.count("mine: ") == 2
    lacking = run("tpu_vm.sh", {**environment, "ZONE": ""}, "mine")
    assert "set ZONE" in lacking.stderr


def test_the_kubernetes_job_resumes_where_it_stopped():
    job = yaml.safe_load((JOBS / "kubernetes.yaml").read_text())
    rules = job["spec"]["podFailurePolicy"]["rules"]
    actions = {
        rule["action"]: rule["onExitCodes"]["values"] for rule in rules if "onExitCodes" in rule
    }
    assert actions == {"Ignore": [75], "FailIndex": [2]}
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # Policies for failures need it.
    done = shellcheck("-", input=pod["containers"][0]["args"][0])
    assert done.returncode == 0, done.stdout
