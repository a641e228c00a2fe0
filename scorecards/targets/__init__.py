"""A KPI's target: how it is written, what it starts from, how far it has come, and what that makes of a value.

`slot` is what an admin writes. `result` puts the verdict of a period together from `applies` (does the target speak of
it at all?), `baselines` (what a relative one starts from), `judgement` (is this value good?) and `progress` (how far it
has come, how it came out), with the sums of `pace`. `smart` judges the target itself.
"""
