"""`python -m em.tiny [CACHE]`: build the default tiny model once and print its folder."""

import sys
from pathlib import Path

from em.tiny.pretrain import build
from em.tiny.recipe import Recipe

if __name__ == "__main__":
    print(build(Recipe(), Path(sys.argv[1] if len(sys.argv) > 1 else "cache/tiny")))
