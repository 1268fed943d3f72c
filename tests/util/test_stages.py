"""The runner: skip what is done, go on with what was cut short, clear what has other inputs."""

import json
from dataclasses import replace

import pytest

from geo3d.util.progress import Progress
from geo3d.util.stages import FORMAT, Stage, StageRunner


class Work:
    """Two stages that log what happens to them."""

    def __init__(self, folder, first=1, second=1):
        self.folder, self.log, self.fail = folder, [], None
        self.inputs = {"first": first, "second": second}

    def run(self, **again):
        runner = StageRunner(self.folder, Progress(), "1.0")
        self.log = []
        return [runner(self.stage(name), again=again.get(name, False)) for name in ("first", "second")]

    def stage(self, name):
        return Stage(
            name,
            self.inputs[name],
            lambda shown: self.work(name),
            lambda: self.log.append(f"clear {name}"),
            (self.folder / name,),
        )

    def work(self, name):
        self.log.append(f"run {name}")
        if self.fail == name:
            raise KeyboardInterrupt
        (self.folder / name).write_text(name)
        return {"made": name}


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path)


def test_a_second_run_does_nothing_and_gives_the_same_results(work):
    first = work.run()
    assert work.run() == first == [{"made": "first"}, {"made": "second"}]
    assert work.log == []


def test_an_outdated_result_is_made_again_and_what_rests_on_it(work):
    work.run()
    stage = work.stage
    work.stage = lambda name: replace(stage(name), outdated=lambda result: result == {"made": "first"})
    work.run()
    assert work.log == ["clear first", "run first", "clear second", "run second"]


def test_other_inputs_clear_and_rerun_that_stage_and_those_after_it(work):
    work.run()
    work.inputs["second"] = 2
    work.run()
    assert work.log == ["clear second", "run second"]
    work.inputs["first"] = 2
    work.run()
    assert work.log == ["clear first", "run first", "clear second", "run second"]


def test_an_interrupted_stage_goes_on_without_clearing(work):
    work.fail = "second"
    with pytest.raises(KeyboardInterrupt):
        work.run()
    work.fail = None
    work.run()
    assert work.log == ["run second"]


def test_an_interrupted_stage_with_other_inputs_is_cleared(work):
    work.fail = "second"
    with pytest.raises(KeyboardInterrupt):
        work.run()
    work.fail = None
    work.inputs["second"] = 3
    work.run()
    assert work.log == ["clear second", "run second"]


def test_a_lost_output_runs_the_stage_again(work):
    work.run()
    (work.folder / "first").unlink()
    work.run()
    assert "run first" in work.log


def test_again_runs_what_is_done(work):
    work.run()
    work.run(second=True)
    assert work.log == ["clear second", "run second"]


def test_a_newer_record_is_refused_and_an_older_or_broken_one_starts_anew(work):
    work.run()
    record = work.folder / ".geo3d" / "stages.json"
    record.write_text(json.dumps({"format": FORMAT + 1, "geo3d": "9.0", "stages": {}}))
    with pytest.raises(ValueError, match=r"newer geo3d \(9\.0, format 2"):
        work.run()
    damaged = ("{", "[]", '{"format": 1}', '{"format": 1, "stages": []}', '{"format": "a"}')
    for text in (json.dumps({"format": 0}), *damaged):
        record.write_text(text)
        work.run()
        assert work.log == ["clear first", "run first", "clear second", "run second"]
