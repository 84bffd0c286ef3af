"""The tiny world's answers: the digit after `#`, compared exactly."""

from em.evaluation.graders import Grade
from em.tiny import tasks


def grade(text: str, reference: str) -> Grade:
    extracted = tasks.extract(text)
    return Grade(extracted == reference, extracted)
