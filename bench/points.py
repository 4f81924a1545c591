"""The points of `conjoint compare`: their cost, and how tables and plots show them. choosing.py, closeness.py and molecules/compare.py share
this. `metric` is the name of the metric by which points are compared; higher is better."""

import io

import files
import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "conjoint"  # The same points give the same file.
import matplotlib.pyplot as plt

# Strategies without a schedule of their own run at each K.
UNTRAINED = [
    "exact",
    "marginal",
    *(f"marginal+entropy-bound:{gamma}" for gamma in ("0.03", "0.1", "0.3", "1", "2")),
    "marginal+threshold:0.9",
    "demask",
    "demask:1",
    "dilated",
    "klass",
    "slow-fast",
    "local-leap",
]
TRAINED = [
    "joint",
    "joint:window=3",
    "joint:window=3:bound=0.001",
    *(f"joint:window=3:bound=0.001+entropy-bound:{gamma}" for gamma in ("0.1", "0.3", "1", "2")),
]
BUDGETS = (0.15, 0.2, 0.3, 0.4, 0.5)
SIDES = ((True, "#1b6ca8", "with the sampler layer"), (False, "#c8553d", "without training"))


def cost(point):
    """Forwards per token. A sampler pass counts as the share of a forward that it took in the same run."""
    of = point["cost"]
    return (of["denoiser_calls"] + of["sampler_calls"] * of["sampler_cost"]) / point["tokens"]


def tokens_per_forward(point):
    """Without sampler passes."""
    return point["tokens"] / point["cost"]["denoiser_calls"]


def name(point):
    """Such as `joint:window=3`, K = 4; a schedule is in the strategy's name already."""
    setting = point["parameter"]
    if setting.startswith("K = "):
        return f"`{point['strategy']}`, {setting}"
    strategy, plus, rest = point["strategy"].partition("+")
    _, slash, reviser = rest.partition("/")
    return f"`{strategy}+{setting}{slash}{reviser}`" if plus else f"`{point['strategy']}`"


def figure(point, metric, digits=3):
    value = point["metrics"].get(metric)
    if value is None:
        return "–"
    return f"{value['value']:.{digits}f} [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"


def value(point, metric):
    return point["metrics"][metric]["value"]


def side(points, trained):
    """The points with the sampler layer, or those without training."""
    return [point for point in points if ("joint" in point["strategy"]) == trained]


def best(points, budget, metric):
    within = [point for point in points if cost(point) <= budget]
    return max(within, key=lambda point: value(point, metric), default=None)


def front(points, metric):
    """Those that no other beats in both cost and metric, cheapest first."""
    ahead, most = [], -1.0
    for point in sorted(points, key=lambda point: (cost(point), -value(point, metric))):
        if value(point, metric) > most:
            most = value(point, metric)
            ahead.append(point)
    return ahead


def draw_fronts(panel, points, metric, label):
    """The metric against cost, with the fronts of both sides."""
    for trained, colour, of_side in SIDES:
        own = side(points, trained)
        ahead = front(own, metric)
        panel.plot([cost(p) for p in ahead], [value(p, metric) for p in ahead], color=colour, label=of_side)
        for point in own:
            of = point["metrics"][metric]
            bars = [[of["value"] - of["low"]], [of["high"] - of["value"]]]
            alpha = 1.0 if point in ahead else 0.35
            panel.errorbar(cost(point), of["value"], bars, fmt="o", ms=4, color=colour, alpha=alpha, lw=1)
    panel.set_xlabel("forwards per token, sampler passes included")
    panel.set_ylabel(label)
    panel.set_ylim(0, 1)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8, loc="lower right")


def save(drawn, path):
    """Writes a figure as an SVG, and closes it."""
    image = io.BytesIO()
    drawn.savefig(image, format="svg", metadata={"Date": None})
    plt.close(drawn)
    files.write(path, image.getvalue())
