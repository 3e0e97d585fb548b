-- Which inputs did not go on, one by one, and why: `--reason TEXT` for those with one reason?
SELECT o.stage, o.status, o.reason, b.name AS file, c.id AS candidate, t.id AS task,
    CASE WHEN c.id IS NULL AND t.id IS NULL THEN o.input END AS input, o.detail
FROM outcomes o JOIN stages s ON s.stage = o.stage
    LEFT JOIN candidates c ON c.id = o.input LEFT JOIN tasks t ON t.id = o.input
    LEFT JOIN (SELECT video, min(name) AS name FROM brought GROUP BY video) b ON b.video = o.video
WHERE o.status <> 'made'
ORDER BY s.position, o.status, o.reason, file, o.input
