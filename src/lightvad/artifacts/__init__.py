"""The only reader and writer of every on-disk format; see docs/formats.md.

Submodules: `atomic` (files appear whole or not at all), `tables` (Parquet), `arrays` (maps and masks), `documents`
(JSON,
CSV), `weights` (safetensors), `digests` (checksums), `records` (what was run, from what, on what).
"""
