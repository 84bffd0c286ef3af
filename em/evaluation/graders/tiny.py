"""The tiny world's answers: the digit after `#`, compared exactly."""

from em.evaluation.graders import Grade
from em.tiny import tasks


def grade(text: str, reference: str) -> Grade:
    extracted = tasks.extract(text)
    return Grade(extracted == reference, extracted)


def is_final(text: str, reference: str) -> bool:
    """With more than one digit behind the first `#` a text gives no answer, whatever follows."""
    _, _, behind = text.partition("#")
    return bool(behind) and tasks.extract(text) is None
