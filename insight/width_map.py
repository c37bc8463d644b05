"""The heat map of widths: the mean value of the trials with each choice of each discrete param.

For decoder studies the choices are the widths of the branches and levels (MNSA's search space). The
figure is plotly's JSON, which the page draws; no library is needed to write it.
"""

from collections import defaultdict
from typing import Any

from optuna.distributions import CategoricalDistribution, IntDistribution, json_to_distribution
from sqlalchemy import Connection, text

from ..search.handle import StudyHandle

_MEANS = text(
    "SELECT p.param_name, p.distribution_json, p.param_value, avg(v.value) AS mean, count(*) AS trials"
    " FROM trial_params p JOIN trials t USING (trial_id) JOIN trial_values v USING (trial_id)"
    " WHERE t.study_id = :study AND t.state = 'COMPLETE' AND v.objective = 0 AND v.value_type = 'FINITE'"
    " GROUP BY 1, 2, 3 ORDER BY 1, 3"
)
MOST_CHOICES = 12


def width_map(handle: StudyHandle, connection: Connection) -> dict[str, Any] | None:
    """Return the figure of a study; None with fewer than two choices that finished trials took.

    A cell is the mean main objective of the finished trials with this choice; empty if there is
    none. Rows are params with up to 12 numeric choices, columns the choices in ascending order.
    """
    cells: defaultdict[str, dict[float, tuple[float, int]]] = defaultdict(dict)
    for name, stored, value, mean, trials in connection.execute(_MEANS, {"study": handle.id}):
        distribution = json_to_distribution(stored)
        if not isinstance(distribution, CategoricalDistribution | IntDistribution):
            continue
        choice = distribution.to_external_repr(value)
        if isinstance(choice, int | float) and not isinstance(choice, bool):
            cells[name][float(choice)] = (mean, trials)
    rows = {
        name: dict(sorted(found.items())) for name, found in sorted(cells.items()) if 1 < len(found) <= MOST_CHOICES
    }
    if not rows:
        return None
    columns = range(max(map(len, rows.values())))
    kept = {name: [*found.items(), *[None] * (len(columns) - len(found))] for name, found in rows.items()}
    objective, names = handle.spec.objectives[0], list(rows)
    return {
        "data": [
            {
                "type": "heatmap",
                "y": names,
                "x": [f"choice {index + 1}" for index in columns],
                "z": [[None if cell is None else cell[1][0] for cell in kept[name]] for name in names],
                "text": [["" if cell is None else f"{cell[0]:g}" for cell in kept[name]] for name in names],
                "customdata": [[0 if cell is None else cell[1][1] for cell in kept[name]] for name in names],
                "texttemplate": "%{text}",
                "hovertemplate": f"%{{y}} = %{{text}}<br>mean {objective} %{{z:.4f}}"
                "<br>trials: %{customdata}<extra></extra>",
                "colorscale": "Viridis",
                "reversescale": handle.spec.signs[0] < 0,
                "colorbar": {"title": {"text": f"mean {objective}"}},
                "hoverongaps": False,
            }
        ],
        "layout": {
            "title": {"text": f"Mean {objective} by width and other choices"},
            "xaxis": {"title": {"text": "choices in ascending order"}, "showticklabels": False},
            "yaxis": {"autorange": "reversed", "automargin": True},
        },
    }
