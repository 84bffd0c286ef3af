"""Whatever names and values hold, figures show it as it is."""

import warnings

import pytest
from matplotlib.figure import Figure as Page

from analysis import style
from analysis.draw import picture
from analysis.figures import Figure, heatmap
from analysis.load import Headline
from em.errors import InputError, require_file_name

ODD = ["$x^{2$", "$\\frac{1}{2}$", "a_b^c", "\\", "line\nbreak", "日本", "é", "", " ", "-1", "$" * 300, "\x00", "{}$$"]


def test_values_are_shown_as_they_are():
    assert [style.written("prompts.template", value) for value in ("$x^2$", "a\nb", "\0")] == [
        "$x^2$",
        "a\\nb",
        "\\x00",
    ]
    assert style.written("prompts.template", "x" * 100) == "x" * 37 + "..."
    with warnings.catch_warnings(), style.paper():
        warnings.simplefilter("error")
        page = Page()
        heatmap.name_axes(page.subplots(), Figure("x", "heatmap", ["model.path", "y"], Headline(1, [])), ODD, ODD)
        page.suptitle("$a^{")
        [ax] = page.axes
        assert [label.get_text() for label in ax.get_xticklabels()][:2] == ODD[:2]
        assert not any(label.get_parse_math() for label in ax.get_yticklabels())
        for suffix in ("png", "pdf"):
            assert len(picture(page, suffix)) > 1000


@pytest.mark.parametrize("name", ["a", "a b", "é$^{_}\\#%?:", "a.b-c", "x" * 100, "é" * 50])
def test_names_of_files(name):
    require_file_name("sweep.name", name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "-a", "/", "a/b", "a\nb", "a\0", " a", "a ", "x" * 101, "é" * 51, "\ud800"]
)
def test_names_of_no_file(name):
    with pytest.raises(InputError, match=r"^sweep\.name='.*': give a name that can be a file's: at most 100 bytes"):
        require_file_name("sweep.name", name)
