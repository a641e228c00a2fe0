"""What is wrong with a KPI as it is written, said when the configuration loads: before any row is read.

`kpi` asks everything of one KPI and goes to the others for their part: `idle` (slots that would do nothing),
`comparing` (values a column cannot be compared with), `reads` (unit and format), `aims` (the target), `borrowed`
(other KPIs an action list names) and `sql` (an admin's own SELECT). `parameters` holds what a file gives a built-in
against what it takes. What they find is a `Problem`.

These modules judge and compute nothing: what computes a KPI imports none of them.
"""

#: (path below [kpi.NAME] or a parameter's name, what is wrong, what to do): the loader puts file and line in front.
Problem = tuple[str, str, str]
