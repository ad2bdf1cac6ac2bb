"""Tables, figures and the report page: the papers' numbers beside the ones measured here.

Submodules: `selection` (which runs and files a result needs), `results` (numbers of runs), `reported` (the papers'
numbers), `speed_factors`, `captions`, `tables`, `typesetting` (Markdown, LaTeX, terminal), `style`, `speed_accuracy`,
`score_curves`, `sweep`, `picture_rows` with `anomaly_maps` and `drawn_frames`, `report`.
"""
