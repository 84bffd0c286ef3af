"""`python -m em.tiny`: pretrain the default tiny model, once, and print its folder."""

from em.model.checkpoint import checkpoint_folder
from em.quiet import quiet_libraries
from em.tiny.recipe import Recipe
from em.trial.model import Model

if __name__ == "__main__":
    quiet_libraries()
    print(checkpoint_folder(Model(pretrain=Recipe()), show_progress=True))
