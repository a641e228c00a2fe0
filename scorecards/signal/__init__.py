"""Is a change news, or noise? The past a KPI is judged by, and what its newest point says beside it.

`chart` is the rule: the XmR chart of a series of points, which knows no KPI. `season` takes out what comes round every
year or week. `history` reads a KPI's own past and asks the chart (one answer for mail, `kpi show` and `kpi backtest`);
`backtest` says how the chart would have done on that past.
"""
