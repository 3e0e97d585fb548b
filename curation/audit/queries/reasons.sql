-- Why was anything rejected or quarantined, stage by stage, and how much of what a stage was given is that?
SELECT s.stage, o.status, o.reason, count(*) AS inputs, round(count(*) / any_value(s.inputs), 4) AS share,
    left(arg_min(o.detail, (o.video, o.input)), 80) AS example
FROM outcomes o JOIN stages s ON s.stage = o.stage
WHERE o.status <> 'made'
GROUP BY s.position, s.stage, o.status, o.reason
ORDER BY s.position, inputs DESC, o.status, o.reason
