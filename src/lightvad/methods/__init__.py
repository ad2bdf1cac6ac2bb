"""One folder per method; methods never import each other.

A method folder NAME holds
    settings.py   `Settings`: every hyper-parameter, typed (imports nothing heavy: the Snakefile reads it)
    model.py      the networks, reading like the paper
    training.py   `train(job)`; methods with a pre-training phase also `pretrain(job)`
    scoring.py    `score(job)` writes the run's scores; `scorer(...)` builds the path that is scored and timed
    README.md     the model card
See `protocol.py` for the types.
"""
