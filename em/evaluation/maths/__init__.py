"""What an answer of mathematics says: read from LaTeX or plain text to a typed value, compared by type, exactly.

    tokens -> reader -> values -> sameness      with evaluate (numbers to any precision), regions (sets of reals), units

Nothing here can hang: sizes are bounded where they arise, and what is too large to be decided raises Undecided.
"""
