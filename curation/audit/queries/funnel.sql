-- What became of every input, stage by stage, and why? At each stage: inputs = made + rejected + quarantined + pending.
WITH lines AS (
    SELECT position, stage, 0 AS line, 'inputs' AS status, '' AS reason, inputs, NULL::BIGINT AS "rows" FROM stages
    UNION ALL
    SELECT s.position, s.stage, 1, o.status, o.reason, count(*), sum(o.rows)::BIGINT
    FROM outcomes o JOIN stages s ON s.stage = o.stage
    GROUP BY ALL
    UNION ALL
    SELECT position, stage, 2, 'pending', '', pending, NULL FROM stages WHERE pending > 0
)
SELECT stage, status, reason, inputs, "rows"
FROM lines
ORDER BY position, line, inputs DESC, status, reason
