"""Answers that are over before they end: they loop, or nothing that may follow changes their grade."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from em.rollout.engine import Completion, Request
from em.rollout.loops import Repeats
from em.trial.evaluation import Ends

EVERY = 64  # tokens between two looks at an answer: what is decoded in vain, at most, and then cut


class Watch:
    """Reads an answer as its tokens come.  It is over at the first token at which a rule of the request holds, in
    whatever pieces they come."""

    def __init__(self, request: Request, decode: Callable[[list[int]], str]) -> None:
        self.repeats = Repeats(request.loop, request.max_new_tokens) if request.loop else None
        self.is_final, self.decode = request.is_final, decode
        self.held = max(map(len, request.stop), default=1) - 1  # characters that may be the beginning of a stop string
        self.token_ids: list[int] = []
        self.logprobs: list[float] = []
        self.over: tuple[int, Ends] | None = None  # with how many tokens, and by which rule

    def read(self, token_ids: Sequence[int], logprobs: Sequence[float] = ()) -> bool:
        """Whether the answer is over, with the tokens that come now."""
        start, found = len(self.token_ids), list[tuple[int, Ends]]()
        self.token_ids += token_ids
        self.logprobs += logprobs
        if token_ids and not self.over:
            if self.repeats and (count := self.repeats.read(token_ids)):
                found.append((start + count, Ends.loops))
            if self.is_final and self._is_final(len(self.token_ids)):
                counts = range(start + 1, len(self.token_ids) + 1)
                found.append((counts[bisect_left(counts, True, key=self._is_final)], Ends.answered))
            self.over = min(found, default=None, key=lambda it: it[0])
        return self.over is not None

    def _is_final(self, count: int) -> bool:
        assert self.is_final is not None
        text = self.decode(self.token_ids[:count])
        return self.is_final(text[: len(text) - self.held])

    def cut(self, whole: Completion) -> Completion:
        """The answer up to where it is over; `whole`, of which all or a part has been read, if it ends before or
        there by itself."""
        self.read(whole.token_ids[len(self.token_ids) :])
        count, ended = self.over or (len(whole.token_ids) + 1, None)
        if count > len(whole.token_ids) or (count == len(whole.token_ids) and not whole.truncated):
            return whole
        logprobs = whole.logprobs[:count] if whole.logprobs is not None else None
        return Completion(whole.token_ids[:count], truncated=True, logprobs=logprobs, ended=ended)
