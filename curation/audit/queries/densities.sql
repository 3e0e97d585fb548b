-- How densely do candidates look, by source and kind, how often does each density come, and how many of those were kept?
WITH looks AS (
    SELECT t.source, t.task_kind AS kind, c.id, unnest(list_transform(c.looks, lambda look: look.fps)) AS fps
    FROM candidates c JOIN tasks t ON t.id = c.task
), kept AS (
    SELECT DISTINCT candidate FROM samples WHERE candidate IS NOT NULL
)
SELECT l.source, l.kind, round(l.fps.num / l.fps.den, 3) AS density_fps, count(*) AS looks,
    round(count(*) / sum(count(*)) OVER (PARTITION BY l.source, l.kind), 4) AS share, count(k.candidate) AS kept
FROM looks l LEFT JOIN kept k ON k.candidate = l.id
GROUP BY l.source, l.kind, density_fps
ORDER BY l.source, l.kind, density_fps
