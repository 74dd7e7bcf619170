"""The ledger on the page: it comes first, shows every part, and is absent where none was made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pages import Page, evaluation, report

from sedsep.evaluation.chain import LINKS
from sedsep.evaluation.report import write_report
from sedsep.evaluation.results import Evaluation
from sedsep.metrics.registry import CEILING, LEDGER, REFERENCES


def with_ledger() -> Evaluation:
    """Each link scores 1 dB more than the one before, in every mixture."""
    of = evaluation()
    mixtures = []
    for mixture in of.mixtures:
        own = mixture.rows[0]
        assert own.ca_sdri is not None
        chain = {
            link: replace(own, ca_sdri=own.ca_sdri + place) for place, link in enumerate((*LINKS, *REFERENCES.keys()))
        }
        mixtures.append(replace(mixture, chain=chain))
    return replace(of, mixtures=mixtures)


def test_the_page_opens_on_the_ledger_and_shows_each_part() -> None:
    page = Page(report(with_ledger()))
    assert next(attributes["id"] for attributes in page.all("section")) == "ledger"
    for metric in (*LEDGER.values(), CEILING, *REFERENCES.values()):
        assert metric.title in page.words
        assert metric.meaning in page.words
    assert "Score 9.33" in page.words
    for metric in LEDGER.values():
        assert f"{metric.title} 1.00" in page.words
    assert f"{CEILING.title} 16.33" in page.words


def test_its_figure_is_a_file_too(tmp_path: Path) -> None:
    files = write_report(tmp_path, with_ledger(), title="A separator")
    assert tmp_path / "figures" / "ledger.svg" in files
    assert CEILING.title in (tmp_path / "figures" / "ledger.svg").read_text()


def test_a_page_without_a_ledger_says_nothing_of_it() -> None:
    assert "ledger" not in report().lower()
