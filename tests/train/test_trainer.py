"""The trainer by what its records hold: the paper's algorithm, the same bits each time, nothing left of a bad trial."""

import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch

from em.cli.inputs import resolve_benchmark, resolve_model
from em.errors import InputError
from em.evaluation.graders import Grade
from em.store.record import Record, Status
from em.tiny.corpus import EOS
from em.tiny.tasks import POOL_PROBLEMS
from em.train import course, weights
from em.train.course import paced
from em.train.entropy import EntropyMinimisation
from em.train.local import LocalPolicy
from em.train.objective import Objective
from em.train.sampling import Sampling
from em.train.selection import Selector
from em.train.trainer import EngineCorruptError, Trainer
from em.trial.evaluation import Benchmark, Ends, Evaluation, Texts
from em.trial.fields import with_value
from em.trial.model import Model, Precision
from em.trial.optimizer import Optimizer
from em.trial.prompts import Prompts, Select
from em.trial.rollout import EngineConfig, EngineName, Rollout
from em.trial.trial import Earlier, Phase, Trial
from em.trial.unit import Measurement, Unit
from tests.trials import NOT_REPRODUCED, one_phase, phase_of, run

SUM = resolve_benchmark(Benchmark(name="sum", suite="sum", limit=3, max_new_tokens=8, grader="tiny"))
EVALUATION = Evaluation(benchmark=SUM, temperature=1.0, top_p=1.0, samples=2, seed=0)
GREEDY = Evaluation(benchmark=SUM, temperature=0.0, top_p=1.0, samples=1, seed=0)


@pytest.fixture(scope="module", params=["transformers", "vllm"])
def engine_name(request: pytest.FixtureRequest) -> EngineName:
    if request.param == "vllm":
        pytest.importorskip("vllm", reason="vLLM does not import here", exc_type=ImportError)
    return EngineName(request.param)


@pytest.fixture(scope="module")
def trial(engine_name: EngineName, checkpoint: Callable[..., Path]) -> Trial:
    return one_phase(
        resolve_model(Model(path=str(checkpoint(tied=True)))),
        Prompts(texts=["3+8+5+2?"]),
        EngineConfig(engine=engine_name, max_num_seqs=64),
        optimizer=Optimizer(lr=1e-3),
        rollout=Rollout(samples=8, temperature=1.0, max_new_tokens=8),
    )


@pytest.fixture(scope="module")
def fresh(trial: Trial, keep: Callable[[Trainer], Trainer]) -> Callable[..., Trainer]:
    """A new Trainer, as a process of its own would have it."""
    return lambda model=trial.model: keep(Trainer(model, trial.engine))


@pytest.fixture(scope="module")
def trainer(fresh: Callable[..., Trainer]) -> Trainer:
    return fresh()


@pytest.fixture(scope="module")
def five_steps(fresh: Callable[..., Trainer], trial: Trial) -> Record:
    return run(fresh(), unit(trial, 5))


def unit(trial: Trial, *steps: int, evaluation: Evaluation = EVALUATION) -> Unit:
    return Unit(trial, tuple(Measurement(step, evaluation) for step in steps))


def reproduced(record: Record) -> dict[str, Any]:
    """What two runs of one unit share."""
    return {name: value for name, value in dataclasses.asdict(record).items() if name not in NOT_REPRODUCED}


def with_phase(trial: Trial, **changes: Any) -> Trial:
    assert trial.phase is not None
    return dataclasses.replace(trial, phase=dataclasses.replace(trial.phase, **changes))


def shas(record: Record) -> dict[int, str]:
    return {digest.step: digest.sha256 for digest in record.digests}


def test_golden(five_steps, engine_name, golden):
    """Goldens hold for this machine's kind of CPU: another's matrix products round otherwise."""
    steps = {
        f"step {metrics.step} {name}": value
        for metrics in five_steps.steps
        for name, value in dataclasses.asdict(metrics).items()
        if name != "step"
    }
    golden(f"five_steps_{engine_name.value}", steps, relative=1e-4)


def test_loss_falls(five_steps):
    losses = [metrics.loss for metrics in five_steps.steps]
    assert losses[-1] < losses[0] - 0.5


def test_a_trial_is_the_same_bits_every_time(trainer, trial, five_steps):
    """Alone in a new trainer, again, and after other trials in between."""
    others = [with_value(trial, "seed", 1), with_value(trial, "phase.optimizer.lr", 3e-3)]
    assert reproduced(run(trainer, unit(trial, 5))) == reproduced(five_steps)
    for other in others:
        run(trainer, unit(other, 2))
    run(trainer, unit(trial.base, 0))
    assert reproduced(run(trainer, unit(trial, 5))) == reproduced(five_steps)
    assert reproduced(run(trainer, unit(others[0], 2))) != reproduced(run(trainer, unit(trial, 2)))


def test_the_record_says_how_it_came_about(trainer, trial):
    record = run(trainer, unit(trial, 1))
    assert (record.trial_id, record.unit_id) == (trial.id, unit(trial, 1).id)
    assert (record.status, record.error, record.attempt) == (Status.done, None, 1)
    assert record.provenance.seconds > 0
    [seconds] = record.seconds
    assert min(seconds.sample, seconds.train, seconds.push) > 0
    assert run(trainer, unit(trial, 1)).provenance.attempt_id != record.provenance.attempt_id


def test_every_sampled_token_is_recorded(trainer, trial, five_steps):
    samples = trial.phase.rollout.samples
    assert five_steps.prompts == [list(b"3+8+5+2?")]
    assert [rollout.step for rollout in five_steps.rollouts] == [step for step in range(1, 6) for _ in range(samples)]
    for metrics in five_steps.steps:
        answers = [rollout for rollout in five_steps.rollouts if rollout.step == metrics.step]
        assert metrics.tokens == sum(len(answer.token_ids) for answer in answers)
        assert metrics.mean_length == metrics.tokens / samples
        assert len({tuple(answer.token_ids) for answer in answers}) > 1
        assert metrics.truncated == sum(answer.truncated for answer in answers) / samples
        for answer in answers:
            assert answer.truncated is (EOS not in answer.token_ids)


def test_a_plain_loop_over_the_recorded_tokens_gives_the_same_training(trainer, trial, random_model):
    """Eq. 3 over whole logits, one sample at a time, autograd, torch's own clipping and unfused AdamW."""
    optimizer = Optimizer(lr=2e-3, weight_decay=0.1, beta1=0.8, beta2=0.95, eps=1e-6, max_grad_norm=0.5)
    objective = EntropyMinimisation(loss_temperature=0.7, first_token=False, micro_batch_tokens=40)
    trial = with_phase(trial, optimizer=optimizer, objective=objective)
    record = run(trainer, unit(trial, 3))
    trained = weights.copy_of(trainer.policy.model)
    model = random_model(tied=True)
    adamw = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-6)
    [prompt] = record.prompts
    for metrics in record.steps:
        answers = [rollout.token_ids for rollout in record.rollouts if rollout.step == metrics.step]
        logits_NV = torch.cat([predictions(model, prompt, answer)[1:] for answer in answers])
        target_N = torch.tensor([token for answer in answers for token in answer[1:]])
        loss = entropy(logits_NV / 0.7).mean()
        model.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        adamw.step()
        expected = {
            "loss": loss.item(),
            "entropy": entropy(logits_NV).mean().item(),
            "logprob": logits_NV.log_softmax(-1)[torch.arange(len(target_N)), target_N].mean().item(),
            "tokens": len(target_N),
            "grad_norm": norm.item(),
        }
        assert {name: getattr(metrics, name) for name in expected} == pytest.approx(expected, rel=1e-3)
    for name, tensor in model.named_parameters():
        assert (tensor - trained[name]).abs().max() < 0.05 * optimizer.lr * len(record.steps), name


def predictions(model: Any, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """The logits that predict each token of the answer, [T, V]."""
    return model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]


def entropy(logits_NV: torch.Tensor) -> torch.Tensor:
    logp_NV = logits_NV.log_softmax(-1)
    return -(logp_NV.exp() * logp_NV).sum(-1)


def test_micro_batches_change_a_training_only_by_rounding(trainer, trial, five_steps):
    small = run(trainer, unit(with_value(trial, "phase.objective.micro_batch_tokens", 40), 1))
    first, whole = dataclasses.asdict(small.steps[0]), dataclasses.asdict(five_steps.steps[0])
    assert first == pytest.approx(whole, rel=1e-5)


def test_measuring_does_not_change_what_is_measured_later(trainer, trial, five_steps):
    """Steps 0, 2 and 5 in one go are those of three separate units, greedy answers in between or not."""
    together = run(trainer, unit(trial, 0, 2, 5))
    assert shas(together).keys() == {0, 2, 5}
    apart = [run(trainer, unit(trial, step)) for step in (0, 2)] + [five_steps]
    assert together.evaluations == [result for record in apart for result in record.evaluations]
    assert together.digests == [digest for record in apart for digest in record.digests]
    assert together.rollouts == five_steps.rollouts
    assert together.steps == five_steps.steps
    both = unit(trial, 0, 2, 5).measurements + unit(trial, 0, 2, evaluation=GREEDY).measurements
    mixed = run(trainer, Unit(trial, both))
    assert [result for result in mixed.evaluations if result.temperature == 1.0] == together.evaluations
    assert mixed.steps == together.steps


def test_a_short_trial_is_the_beginning_of_a_long_one(trainer, trial):
    short, long = run(trainer, unit(trial, 10)), run(trainer, unit(trial, 10, 20))
    assert long.steps[:10] == short.steps
    assert long.rollouts[: len(short.rollouts)] == short.rollouts
    assert shas(long)[10] == shas(short)[10] != shas(long)[20]
    assert long.evaluations[0] == short.evaluations[0]


def test_the_base_model_is_a_trial_of_no_steps(trainer, trial):
    record = run(trainer, unit(trial.base, 0))
    assert (record.prompts, record.steps, record.rollouts) == ([], [], [])
    assert record.digests == run(trainer, unit(trial, 0, 1)).digests[:1]
    assert record.evaluations[0] == run(trainer, unit(trial, 0)).evaluations[0]


def test_evaluations_hold_every_answer(trainer, trial, five_steps):
    [result] = five_steps.evaluations
    assert (result.step, result.evaluation_id, result.benchmark) == (5, EVALUATION.id, "sum")
    assert (result.problems, result.samples) == (3, 2)
    lists = [result.correct, result.extracted, result.lengths, result.truncated, result.texts]
    assert [len(items) for items in lists] == [6] * 5
    assert result.accuracy == sum(result.correct) / 6
    assert max(result.lengths) <= 8
    assert result.texts[0] != result.texts[1]


def test_answers_that_are_over_are_ended_and_graded_alike(trainer, trial):
    long = dataclasses.replace(SUM, max_new_tokens=64)
    whole = dataclasses.replace(EVALUATION, benchmark=long, samples=16)
    both = [run(trainer, unit(trial, 0, evaluation=dataclasses.replace(whole, ends=ends))) for ends in Ends]
    free, loops, answered, either = (record.evaluations[0] for record in both)
    assert free.ended is loops.ended is None
    assert loops.texts == free.texts
    assert either.texts == answered.texts != free.texts
    assert answered.ended is not None
    assert (answered.correct, answered.extracted) == (free.correct, free.extracted)
    for short, text, ended in zip(answered.texts, free.texts, answered.ended, strict=True):
        assert text is not None
        assert short is not None
        assert text.startswith(short.rstrip("\ufffd")) if ended else short == text
    assert len({*answered.ended}) == 2


def test_several_prompts_take_turns_across_steps(trainer, trial):
    prompts = Prompts(texts=["1+1+1+1?", "two", "3"])
    several = with_phase(trial, prompts=prompts, rollout=dataclasses.replace(trial.phase.rollout, samples=4))
    record = run(trainer, unit(several, 3))
    turns = [sorted(rollout.prompt for rollout in record.rollouts if rollout.step == step) for step in (1, 2, 3)]
    assert turns == [[0, 0, 1, 2], [0, 1, 1, 2], [0, 1, 2, 2]]
    assert record.prompts == [list(b"1+1+1+1?"), list(b"two"), list(b"3")]
    assert len({tuple(rollout.token_ids) for rollout in record.rollouts}) > 1


@pytest.fixture
def pushed_are_finite(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether all tensors were finite, for each push so far."""
    pushes: list[bool] = []
    assert isinstance(trainer.policy, LocalPolicy)
    push = trainer.policy.engine.push

    def watched(tensors: Any) -> None:
        pushes.append(all(bool(tensor.isfinite().all()) for tensor in tensors.values()))
        push(tensors)

    monkeypatch.setattr(trainer.policy.engine, "push", watched)
    return pushes


@pytest.mark.parametrize(("lr", "last_step"), [(1e38, 1), (1e30, 1), (1e12, 2)])
def test_a_trial_that_diverges_is_a_result_and_leaves_no_trace(
    trainer, trial, five_steps, pushed_are_finite, lr, last_step
):
    """At 1e12 finite weights are pushed whose next loss is not finite."""
    wild = with_value(trial, "phase.optimizer.lr", lr)
    record = run(trainer, unit(wild, 0, 5))
    assert record.status is Status.diverged
    assert record.error is not None
    assert record.error.startswith(f"step {last_step}: ")
    assert [metrics.step for metrics in record.steps] == list(range(1, last_step + 1))
    assert [result.step for result in record.evaluations] == [0]
    trainer.reset()
    assert reproduced(run(trainer, unit(trial, 5))) == reproduced(five_steps)
    assert all(pushed_are_finite)
    assert len(pushed_are_finite) > 5
    assert reproduced(run(trainer, unit(wild, 0, 5))).keys() == reproduced(record).keys()


def test_an_exception_is_a_failed_attempt_and_leaves_no_trace(trainer, trial, five_steps, monkeypatch):
    step = trainer.policy.step

    def fails(prompts: Any, samples: Any, *arguments: Any) -> Any:
        if samples[0].step == 3:
            raise RuntimeError("the disk is on fire")
        return step(prompts, samples, *arguments)

    monkeypatch.setattr(trainer.policy, "step", fails)
    record = run(trainer, unit(trial, 0, 5))
    monkeypatch.undo()
    assert record.status is Status.failed
    assert record.error is not None
    assert "Traceback" in record.error
    assert "RuntimeError: the disk is on fire" in record.error
    assert record.steps == five_steps.steps[:2]
    assert reproduced(run(trainer, unit(trial, 5))) == reproduced(five_steps)


def test_an_engine_that_does_not_come_back_ends_the_process(fresh, trial, monkeypatch):
    """Here it takes no more weights: what it would sample from now on is another model's."""
    broken = fresh()
    run(broken, unit(trial, 1))
    monkeypatch.setattr(broken.policy.engine, "push", lambda weights: None)
    with pytest.raises(EngineCorruptError):
        broken.reset()
    with pytest.raises(EngineCorruptError):
        run(broken, unit(trial, 1))


def test_what_cannot_fit_the_context_is_an_input_error(trainer, trial, five_steps):
    long = with_phase(trial, prompts=Prompts(texts=["1" * 1017]))
    with pytest.raises(InputError, match=r"max_new_tokens=8: the prompt '1+'... has 1017 tokens .* at most 7 are left"):
        run(trainer, unit(long, 1))
    wide = dataclasses.replace(EVALUATION, benchmark=dataclasses.replace(SUM, max_new_tokens=2000))
    with pytest.raises(InputError, match=r"benchmarks.sum.max_new_tokens=2000: .* 1024 tokens here"):
        run(trainer, unit(trial, 1, evaluation=wide))
    assert reproduced(run(trainer, unit(trial, 5))) == reproduced(five_steps)


def test_a_long_measurement_gives_signs_of_life(trainer, trial, monkeypatch):
    """While answers come, and again while their grades do."""
    heard: list[int] = []
    monkeypatch.setattr(course, "ALIVE_SECONDS", 0.0)
    record = run(trainer, unit(trial, 2), on_step=heard.append)
    texts = record.evaluations[0].texts
    grades = sum(len(set(texts[first : first + 2])) for first in (0, 2, 4))
    assert heard == [0, 0, 1, 1, 2] + [2] * 3 + [2] * grades


def test_it_says_when_grades_alone_are_awaited(trainer, trial, monkeypatch):
    heard: list[int | None] = []
    late: list[Future[Grade]] = []

    def submit_all(grader: str, pairs: list[tuple[str, str]]) -> list[Future[Grade]]:
        late.extend(Future() for _ in pairs)
        return late[-len(pairs) :]

    def on_step(step: int | None) -> None:
        heard.append(step)
        for future in late if step is None else []:
            if not future.done():
                future.set_result(Grade(True, "1"))

    monkeypatch.setattr(trainer.evaluator.pool, "submit_all", submit_all)
    record = run(trainer, unit(trial, 1, 2), on_step=on_step)
    assert heard.index(None) == len([step for step in heard if step is not None])
    assert [result.accuracy for result in record.evaluations] == [1.0, 1.0]


def test_signs_of_life_are_a_second_apart(monkeypatch):
    now, heard = [0.0], []
    monkeypatch.setattr(course.time, "monotonic", lambda: now[0])
    call = paced(lambda: heard.append(now[0]))
    for tick in range(30):
        now[0] = tick / 8
        call()
    assert heard == [1.0, 2.0, 3.0]


def test_what_cannot_be_measured_is_said_before_training(trainer, trial):
    heard: list[int] = []
    other = dataclasses.replace(EVALUATION, benchmark=dataclasses.replace(SUM, digest="other"))
    with pytest.raises(InputError, match=r"benchmarks.sum: sum holds other problems than those of this evaluation"):
        run(trainer, unit(trial, 2, evaluation=other), on_step=heard.append)
    assert heard == []


def test_training_without_prompts_is_an_input_error(trainer, trial):
    with pytest.raises(InputError, match=r"prompts.texts=\[\]: a phase of training needs at least one prompt"):
        with_phase(trial, prompts=Prompts())
    with pytest.raises(InputError, match=r"eval.steps=1: a base model is measured at step 0"):
        run(trainer, unit(trial.base, 1))


def test_a_model_whose_logits_the_trainer_gets_wrong_is_refused(fresh, trial, monkeypatch):
    right = Objective.forward

    def scaled(self: Objective, *arguments: Any) -> Any:
        loss, seen = right(self, *arguments)
        return loss, seen._replace(logprob_N=seen.logprob_N / 2)

    monkeypatch.setattr(Objective, "forward", scaled)
    with pytest.raises(InputError, match=r"the loss would be .* nats from that of the model's own logits"):
        fresh()


def test_a_process_may_go_on_with_another_precision(trainer, fresh, trial):
    """A sweep over models may have them in different precisions; master weights stay in float32."""
    model = dataclasses.replace(trial.model, precision=Precision.bf16)
    half = fresh(model)
    trained = dataclasses.replace(trial, model=model)
    record = run(half, unit(trained, 2))
    assert record.status is Status.done, record.error
    assert {parameter.dtype for parameter in half.policy.model.parameters()} == {torch.float32}
    assert reproduced(run(half, unit(trained, 2))) == reproduced(record)
    assert run(trainer, unit(trial, 1)).status is Status.done


def extension(trial: Trial, recorded: Unit, left: Unit) -> Unit:
    """What a plan makes of a trial that is recorded in part."""
    return dataclasses.replace(left, source=recorded.id, whole=recorded.measurements + left.measurements)


def sampled_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps that the engine is asked to sample from now on."""
    steps: list[int] = []
    samples = Sampling.samples

    def counted(self: Sampling, trial: Trial, phase: Phase, prompts: list[list[int]], step: int, alive: Any) -> Any:
        steps.append(step)
        return samples(self, trial, phase, prompts, step, alive)

    monkeypatch.setattr(Sampling, "samples", counted)
    return steps


def test_a_replayed_trial_goes_on_as_if_it_had_never_stopped(trainer, trial, monkeypatch):
    short, more = unit(trial, 2), Unit(trial, (Measurement(2, GREEDY), Measurement(5, EVALUATION)))
    recorded = run(trainer, short)
    whole = run(trainer, Unit(trial, short.measurements + more.measurements))
    sampled = sampled_steps(monkeypatch)
    made = run(trainer, extension(trial, short, more), recorded=recorded)
    assert sampled == [3, 4, 5]
    for name in ("status", "prompts", "steps", "rollouts", "digests"):
        assert getattr(made, name) == getattr(whole, name), name
    assert made.evaluations == [result for result in whole.evaluations if result not in recorded.evaluations]
    assert (made.unit_id, made.provenance.replayed) == (more.id, recorded.provenance.attempt_id)


def test_a_replay_is_trained_on_to_the_next_recorded_digest(trainer, trial, monkeypatch):
    recorded = run(trainer, unit(trial, 4))
    left = unit(trial, 1)
    sampled = sampled_steps(monkeypatch)
    made = run(trainer, extension(trial, unit(trial, 4), left), recorded=recorded)
    assert sampled == []
    assert [digest.step for digest in made.digests] == [1, 4]
    assert made.digests[1] == recorded.digests[0]
    assert [result.step for result in made.evaluations] == [1]


def test_a_record_of_before_is_replayed_by_its_own_kind_of_digest(trainer, trial, monkeypatch):
    """Of all weights in one; steps that it has no digest of get today's kind."""
    with monkeypatch.context() as before:
        before.setattr(course, "LATEST", None)
        recorded = run(trainer, unit(trial, 2))
    made = run(trainer, extension(trial, unit(trial, 2), unit(trial, 5)), recorded=recorded)
    assert made.provenance.replayed == recorded.provenance.attempt_id
    assert made.digests[0] == recorded.digests[0]
    assert [(digest.step, digest.kind) for digest in made.digests] == [(2, None), (5, "tensors")]


@pytest.mark.parametrize("changed", ["token", "digest", "metric"])
def test_a_replay_that_leads_elsewhere_is_measured_whole_and_anew(trainer, trial, changed):
    short, more = unit(trial, 2), unit(trial, 3)
    recorded = run(trainer, short)
    if changed == "token":
        ids = recorded.rollouts[0].token_ids
        ids[0] = ids[0] - 1 if ids[0] else 1
    elif changed == "digest":
        recorded.digests[0].sha256 = "0" * 64
    else:
        recorded.steps[1].loss *= 1 + 1e-15
    made = run(trainer, extension(trial, short, more), recorded=recorded)
    whole = Unit(trial, short.measurements + more.measurements)
    assert made.provenance.replayed is None
    assert reproduced(made) == reproduced(run(trainer, whole))


@pytest.fixture
def selecting(trainer: Trainer, trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """The trial on a selected prompt, by a trainer that has selected none yet."""
    monkeypatch.setattr(trainer, "selector", Selector(trial.base.id, trainer.evaluator, tmp_path))
    return with_phase(trial, prompts=Prompts(select=Select.variance))


def test_a_base_model_selects_once_whatever_is_trained(trainer, trial, selecting, tmp_path, monkeypatch):
    calls = []
    generate = trainer.policy.stream
    monkeypatch.setattr(trainer.policy, "stream", lambda *a, **k: calls.append(len(a[0])) or generate(*a, **k))
    first = run(trainer, unit(selecting, 1))
    assert calls.count(POOL_PROBLEMS) == 1
    other = with_phase(with_value(selecting, "seed", 1), optimizer=Optimizer(lr=3e-3))
    assert run(trainer, unit(other, 1)).prompts == first.prompts
    monkeypatch.setattr(trainer, "selector", Selector(trial.base.id, trainer.evaluator, tmp_path))
    assert reproduced(run(trainer, unit(selecting, 1))) == reproduced(first)
    assert calls.count(POOL_PROBLEMS) == 1
    given = with_phase(trial, prompts=Prompts(texts=[bytes(first.prompts[0]).decode()]))
    alone = run(trainer, unit(given, 1))
    assert (alone.rollouts, alone.steps, shas(alone)) == (first.rollouts, first.steps, shas(first))
    assert alone.trial_id != first.trial_id


def test_the_prompt_of_a_rank_is_the_one_that_the_file_lists_there(trainer, selecting, tmp_path):
    best = run(trainer, unit(selecting, 1))
    [file] = tmp_path.glob("*.json")
    listed = [item["text"] for item in json.loads(file.read_text())["best"]]
    assert len(set(listed)) == POOL_PROBLEMS
    third = run(trainer, unit(with_value(selecting, "phase.prompts.rank", 2), 1))
    assert [best.prompts, third.prompts] == [[list(listed[rank].encode())] for rank in (0, 2)]


def test_a_later_phase_selects_from_the_base_weights_too(trainer, trial, selecting):
    """Its own template is other prompts, which nothing before has selected from."""
    later = Prompts(select=Select.variance, template="Q{problem}")
    first = phase_of(with_phase(selecting, optimizer=Optimizer(lr=3e-2)))
    both = dataclasses.replace(with_phase(trial, prompts=later), before=(Earlier(phase=first, steps=2),))
    record = run(trainer, unit(both, 1))
    assert record.status is Status.done
    alone = Selector("alone", trainer.evaluator, trainer.selector.folder)
    trainer.reset()
    [text] = alone.resolved(Phase(prompts=later)).prompts.texts
    assert record.prompts == [list(f"Q{text}".encode())]


def test_a_replay_whose_prompt_another_machine_selected_is_made_anew(trainer, trial, selecting):
    short, more = unit(selecting, 1), unit(selecting, 2)
    recorded = run(trainer, short)
    assert run(trainer, extension(selecting, short, more), recorded=recorded).provenance.replayed is not None
    recorded.prompts = [list(b"1+1+1+1?")]
    made = run(trainer, extension(selecting, short, more), recorded=recorded)
    assert made.provenance.replayed is None
    assert made.prompts != recorded.prompts


def test_texts_are_kept_as_the_config_says(trainer, trial):
    kept = {}
    for texts in Texts:
        evaluation = dataclasses.replace(EVALUATION, texts=texts)
        assert evaluation.id == EVALUATION.id
        [kept[texts]] = run(trainer, unit(trial.base, 0, evaluation=evaluation)).evaluations
    whole = kept[Texts.all]
    assert all(text is not None for text in whole.texts)
    assert kept[Texts.sample].texts == [text if at % 2 == 0 else None for at, text in enumerate(whole.texts)]
    assert kept[Texts.none].texts == [None] * 6
    for result in kept.values():
        assert dataclasses.replace(result, texts=whole.texts) == whole
