-- What can be answered without seeing the video, by source and kind, and how much of that was kept?
-- `blind` is 1 less the share of answers that were right from the text alone.
WITH kept AS (
    SELECT DISTINCT task FROM samples
)
SELECT t.source, t.task_kind AS kind, count(*) AS tasks, round(avg(v.n), 1) AS attempts, round(avg(1 - v.score), 4) AS right_blind,
    count(*) FILTER (v.score <= 0.5) AS mostly_blind, round(count(*) FILTER (v.score <= 0.5) / count(*), 4) AS mostly_blind_share,
    count(*) FILTER (v.reason = 'not clear') AS not_clear, count(k.task) FILTER (v.score <= 0.5) AS mostly_blind_kept
FROM verdicts v JOIN tasks t ON t.id = v.subject LEFT JOIN kept k ON k.task = v.subject
WHERE v.filter = 'blind'
GROUP BY t.source, t.task_kind
ORDER BY t.source, kind
