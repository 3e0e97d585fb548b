-- How often does the student get a task right by itself: in which band of its pass rate do tasks lie, and how many were kept?
WITH rates AS (
    SELECT v.subject, v.n, v.score, t.task_kind AS kind,
        CASE WHEN v.score <= 0 THEN 0 WHEN v.score >= 1 THEN 5 ELSE least(4, 1 + floor(v.score * 4)::INTEGER) END AS band
    FROM verdicts v JOIN tasks t ON t.id = v.subject
    WHERE v.filter = 'replay'
), kept AS (
    SELECT task, count(*) FILTER (candidate IS NOT NULL) AS trajectories, count(*) FILTER (candidate IS NULL) AS targets
    FROM samples GROUP BY task
)
SELECT r.kind, ['never', 'above 0', 'from .25', 'from .5', 'from .75', 'always'][1 + r.band] AS pass_rate, count(*) AS tasks,
    round(count(*) / sum(count(*)) OVER (PARTITION BY r.kind), 4) AS share, round(avg(r.n), 1) AS attempts,
    coalesce(sum(k.trajectories), 0)::BIGINT AS kept_trajectories, coalesce(sum(k.targets), 0)::BIGINT AS kept_targets
FROM rates r LEFT JOIN kept k ON k.task = r.subject
GROUP BY r.kind, r.band
ORDER BY r.kind, r.band
