"""The speed of every contender against the baseline, as an SVG: a group of bars a workload, on a logarithmic scale."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from .workloads import BASELINES, TITLES

#: Colours that people with colour blindness can tell apart (Okabe and Ito); ours is the strongest.
OURS = ("#d55e00", "#e69f00")
OTHERS = ("#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#999999", "#f0e442")
#: Beyond these: the same, darker.
MORE = ("#004166", "#1f7fb5", "#005c44", "#8f3f6c", "#4d4d4d", "#9a8f00")
BAR, GAP, LEFT, WIDTH = 13, 16, 250, 560
FONT = 'font-family="system-ui, sans-serif" font-size="12"'


def svg(contenders: list[dict[str, Any]], backend: str, title: str) -> str:
    """The picture of one database; empty text where no baseline was measured."""
    groups: list[tuple[str, list[tuple[str, float]]]] = []
    for language in ("python", "node"):
        members = [one for one in contenders if (one["backend"], one["language"]) == (backend, language)]
        base = next((one for one in members if one["name"] == BASELINES.get((backend, language))), None)
        for cell in TITLES if base else ():
            if cell not in base["cells"]:  # type: ignore[index]
                continue
            reference = base["cells"][cell]["median"]["rate"]  # type: ignore[index]
            bars = [
                (label(one), one["cells"][cell]["median"]["rate"] / reference)
                for one in members
                if cell in one["cells"]
            ]
            groups.append((TITLES[cell] + (" (Node)" if language == "node" else ""), bars))
    return draw(groups, title) if groups else ""


def label(one: dict[str, Any]) -> str:
    return str(one["name"]) + (" (Node)" if one["language"] == "node" else "")


def colours(groups: list[tuple[str, list[tuple[str, float]]]]) -> dict[str, str]:
    names = list(dict.fromkeys(name for _, bars in groups for name, _ in bars))
    found: dict[str, str] = {}
    others = 0
    for name in names:
        if name.startswith("farm_db"):
            found[name] = OURS[1] if "json" in name else OURS[0]
        else:
            found[name] = (OTHERS + MORE)[others % len(OTHERS + MORE)]
            others += 1
    return found


def draw(groups: list[tuple[str, list[tuple[str, float]]]], title: str) -> str:
    values = [value for _, bars in groups for _, value in bars]
    low = math.floor(math.log2(min(values)))
    high = max(math.ceil(math.log2(max(values))), low + 1)
    colour = colours(groups)
    legend_rows = math.ceil(len(colour) / 4)
    top = 64 + 18 * legend_rows
    height = top + sum(len(bars) * BAR + GAP for _, bars in groups) + 10

    def x(value: float) -> float:
        return LEFT + (math.log2(value) - low) / (high - low) * WIDTH

    total = LEFT + WIDTH + 70
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" role="img" {FONT}>',
        f'<rect width="{total}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="16" font-weight="bold">{escape(title)}</text>',
    ]
    for index, (name, fill) in enumerate(colour.items()):
        place_x, place_y = 12 + index % 4 * 210, 42 + index // 4 * 18
        out.append(f'<rect x="{place_x}" y="{place_y - 10}" width="12" height="12" fill="{fill}"/>')
        out.append(f'<text x="{place_x + 18}" y="{place_y}">{escape(name)}</text>')
    for power in range(low, high + 1):
        place = x(2.0**power)
        stroke = "#555555" if power == 0 else "#dddddd"
        out.append(f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{top - 6}" y2="{height - 8}" stroke="{stroke}"/>')
        text = f"{2**power}x" if power >= 0 else f"1/{2**-power}"
        out.append(f'<text x="{place:.1f}" y="{top - 12}" text-anchor="middle" fill="#555555">{text}</text>')
    y = top
    for name, bars in groups:
        middle = y + len(bars) * BAR / 2 + 4
        out.append(f'<text x="{LEFT - 10}" y="{middle:.0f}" text-anchor="end">{escape(name)}</text>')
        for contender, value in bars:
            start, end = sorted((x(1.0), x(value)))
            width = max(end - start, 1.5)
            out.append(
                f'<rect x="{start:.1f}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{colour[contender]}">'
                f"<title>{escape(contender)}: {value:.2f}x</title></rect>"
            )
            if contender.startswith("farm_db"):
                out.append(f'<text x="{end + 4:.1f}" y="{y + BAR - 3}" font-size="11">{value:.1f}x</text>')
            y += BAR
        y += GAP
    return "\n".join([*out, "</svg>"]) + "\n"
