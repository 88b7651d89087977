"""The tables of the deployment report have its figures."""

from benchmarks.deploy_report.length import FULL
from benchmarks.deploy_report.page import PAGE
from benchmarks.deploy_report.rows import FLOAT32, INT8

SERVER = {
    **{"clients": 16, "seconds": 60.2, "answers_per_second": 9.5, "p50_ms": 1, "p99_ms": 2},
    **{"idle_mb": 300, "peak_mb": 400, "refused": 1200, "wrong": []},
}


def test_the_page_has_the_figures(figures, tmp_path, capsys):
    PAGE.write(tmp_path, figures)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["deployment.json", "deployment.md"]
    text = (tmp_path / "deployment.md").read_text()
    assert f"| {FLOAT32} | 4.00 | 1.00 | 2.00 | 22.0 | 11.0 | 1.00 | 1.00 | 3 |" in text
    assert "| 0.865 (0.870) | 0.580 (0.580) | 1e-02 |" in text
    assert f"| {FULL} | 750 | 6.0 | 5.0 |" in text
    assert f"| {FULL} | 750 | 6.0 | 5.0 |" in capsys.readouterr().out
    PAGE.write(tmp_path, {**figures, "server": SERVER})
    assert "| refused for being busy | 1,200 |" in (tmp_path / "deployment.md").read_text()


def test_fewer_rows_have_a_page_too_without_targets(figures):
    figures["rows"] = {name: figures["rows"][name] for name in (FLOAT32, INT8)}
    assert [*PAGE.tables(figures)] == ["source", "exports", "length"]


def test_a_system_that_does_not_say_how_much_memory_has_no_figure(figures):
    figures["rows"][FLOAT32]["memory"] = [None] * 3
    assert any("| 1.00 | 1.00 |  | 0.870" in x for x in PAGE.tables(figures)["exports"])
