"""The picture in cluster/README.md: `python tests/benchmarks/board.py [PNG]`.

Runs a real search on a cluster of this machine, lets Debian's Prometheus read it, asks that what
the Grafana board asks, and draws the answers as the board lays them out, without Grafana.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import time
from html import escape
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser import browser  # noqa: E402
from local_cluster import REPOSITORY, local_cluster  # noqa: E402
from prometheus import Prometheus, asked, board, prometheus  # noqa: E402

from recscale.report import plot  # noqa: E402
from recscale.report.page import packed_plotly  # noqa: E402

SWEEP = """
name: board
storage: {folder}
data: {{source: synthetic, rows: 400000, users: 2000, items: 1000}}
model: {{family: dlrm, embedding_dim: [4, 8, 16], mlp_width: [16, 64, 128], sequence_length: 6}}
train: {{data_fraction: [0.1, 0.3, 1.0], batch_size: 128}}
search: {{strategy: frontier, target: {{flop: 10x}}}}
budget: {{flop: 4e11}}
resources: {{concurrent: 2}}
"""
MOST = 12  # series of a panel
UNIT, HIGH = 48, 30
"""Pixels of one column and one row of the board's grid."""


def ran(folder: Path) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Every panel with its series, after a sweep."""
    sweep = folder / "board.yaml"
    sweep.write_text(SWEEP.format(folder=folder / "runs"))
    with local_cluster() as cluster, prometheus(cluster.folder / "ray", folder) as served:
        job = cluster.submit("board", "recscale", "run", sweep)
        subprocess.run(job, env=cluster.env, check=True)
        time.sleep(5)
        return [(p, [s for t in p["targets"] for s in _named(served, t)]) for p in board()]


def _named(served: Prometheus, target: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for series in served.series(asked(target), 2.0):
        name = target.get("legendFormat", "")
        for key, value in series["metric"].items():
            name = name.replace(f"{{{{{key}}}}}", value)
        found.append({"name": name, "values": series["values"]})
    return found


def page(panels: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> str:
    figures, boxes = [], []
    began = min(float(s["values"][0][0]) for _, series in panels for s in series)
    for i, (panel, series) in enumerate(panels):
        at, per_cent = panel["gridPos"], "percent" in panel["fieldConfig"]["defaults"]["unit"]
        data = [
            plot.line([float(t) - began for t, _ in s["values"]],
                      [float(v) for _, v in s["values"]], escape(s["name"]),
                      line={"color": plot.COLOURS[k % len(plot.COLOURS)], "width": 1.5})
            for k, s in enumerate(series[:MOST])
        ]  # fmt: skip
        most = max(float(v) for s in series for _, v in s["values"])
        across = plot.axis("", ticksuffix=" s", nticks=5 if at["w"] > 4 else 2, tickangle=0)
        up = plot.axis("", tickformat=".0%" if per_cent else "~s" if most >= 1000 else "")
        layout = plot.layout(
            across, up, height=at["h"] * HIGH - 30, width=at["w"] * UNIT - 20,
            margin={"l": 40, "r": 6, "t": 4, "b": 22}, showlegend=len(series) < 7,
            legend={"font": {"size": 9}, "orientation": "h"},
        )  # fmt: skip
        layout["font"]["size"] = 10
        figures.append({"data": data, "layout": layout})
        place = f"left:{at['x'] * UNIT}px;top:{at['y'] * HIGH}px"
        boxes.append(
            f'<div class="box" style="{place};width:{at["w"] * UNIT - 6}px;'
            f'height:{at["h"] * HIGH - 6}px">{escape(panel["title"])}<div id="f{i}"></div></div>'
        )
    return f"""<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; font: 12px sans-serif; }}
.box {{ position: absolute; border: 1px solid #ccc; padding: 2px 4px; overflow: hidden;
box-sizing: border-box; }}</style><body>{"".join(boxes)}<script>
const unpack = async () => {{
  const bytes = Uint8Array.from(atob("{packed_plotly()}"), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  const figures = {json.dumps(figures)};
  for (const [i, f] of figures.entries())
    await Plotly.newPlot("f" + i, f.data, f.layout, {{staticPlot: true}});
  document.body.dataset.drawn = "1";
}};
unpack();
</script>"""


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="rs-board-") as name:
        folder = Path(name)
        panels = ran(folder)
        for panel, series in panels:
            print(f"{len(series):4} series  {panel['title']}")
        assert all(series for _, series in panels)
        (folder / "board.html").write_text(page(panels))
        high = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p, _ in panels) * HIGH
        with browser() as chrome:
            chrome.wide(24 * UNIT)
            chrome.open(folder / "board.html")
            clip = {"x": 0, "y": 0, "width": 24 * UNIT, "height": high, "scale": 1}
            shot = {"captureBeyondViewport": True, "clip": clip}
            taken = chrome.driver.execute_cdp_cmd("Page.captureScreenshot", shot)
            out.write_bytes(base64.b64decode(taken["data"]))
    print(out, f"{out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "cluster/board.png")
