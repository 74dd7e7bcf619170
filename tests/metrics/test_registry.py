from __future__ import annotations

import subprocess
import sys

import pytest

from sedsep.metrics.registry import METRICS, SOURCES, MetricName, ordered_sources


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("test/ca_sdri/tagger", MetricName("test", "ca_sdri", "tagger")),
        ("test/ca_sdri@3/oracle", MetricName("test", "ca_sdri", "oracle", 3)),
        ("test/label_accuracy@0.3/baseline", MetricName("test", "label_accuracy", "baseline", 0.3)),
        ("valid/label_accuracy@0.5", MetricName("valid", "label_accuracy", setting=0.5)),
        ("test/capi_sdri@repeated/tagger", MetricName("test", "capi_sdri", "tagger", "repeated")),
        ("loss", MetricName("", "loss")),
        ("test/odd@name/tagger", MetricName("test", "odd@name", "tagger")),
    ],
)
def test_a_score_s_name_is_read_as_it_is_written(text: str, name: MetricName) -> None:
    assert MetricName.parse(text) == name
    assert str(name) == text


def test_names_and_order_need_no_library() -> None:
    code = "import sys, sedsep.metrics.registry; sys.exit(bool({'torch', 'numpy'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert ordered_sources(["constant", "oracle", "another", "tagger"]) == ["tagger", "another", "oracle", "constant"]
    assert all(metric.title and metric.meaning.endswith(".") for metric in METRICS.values())
    assert len(SOURCES) == 7
