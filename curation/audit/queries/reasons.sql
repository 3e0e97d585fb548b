-- Why was anything rejected or quarantined, stage by stage, and how much of what a stage was given is that?
-- A video that was made in spite of parts that nobody described stands there, too: as `gap`, once for each cause.
WITH lines AS (
    SELECT s.position, s.stage, o.status, o.reason, count(*) AS inputs, any_value(s.inputs) AS total,
        arg_min(o.detail, (o.video, o.input)) AS example
    FROM outcomes o JOIN stages s ON s.stage = o.stage
    WHERE o.status <> 'made'
    GROUP BY s.position, s.stage, o.status, o.reason
    UNION ALL
    SELECT s.position, s.stage, 'gap', g.cause, count(DISTINCT g.video), any_value(s.inputs),
        arg_min(g.span || ': ' || g.why, (g.video, g.start_cs))
    FROM gaps g JOIN stages s ON s.stage = g.stage
    GROUP BY s.position, s.stage, g.cause
)
SELECT stage, status, reason, inputs, round(inputs / total, 4) AS share, example
FROM lines
ORDER BY position, inputs DESC, status, reason
