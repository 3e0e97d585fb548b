-- Is any answer commoner than it should be: which option is right, and which words are said most?
-- The ten commonest of each kind and number of options.
WITH said AS (
    SELECT c.id, c.task_kind AS kind, c.options, 'option ' || coalesce(chr(64 + c."right"), 'not told') AS answer FROM choices c
    UNION ALL
    SELECT id, task_kind, 0, lower(trim(answer)) FROM tasks WHERE len(options) = 0 AND task_kind <> 'grounding'
), kept AS (
    SELECT DISTINCT task FROM samples
), counted AS (
    SELECT a.kind, a.options, a.answer, count(*) AS tasks, count(k.task) AS kept,
        sum(count(*)) OVER (PARTITION BY a.kind, a.options) AS of_tasks,
        sum(count(k.task)) OVER (PARTITION BY a.kind, a.options) AS of_kept
    FROM said a LEFT JOIN kept k ON k.task = a.id
    GROUP BY a.kind, a.options, a.answer
)
SELECT kind, options, left(answer, 60) AS answer, tasks, round(tasks / of_tasks, 4) AS share, kept,
    round(kept / nullif(of_kept, 0), 4) AS kept_share
FROM counted
QUALIFY row_number() OVER (PARTITION BY kind, options ORDER BY tasks DESC, answer) <= 10
ORDER BY kind, options, tasks DESC, answer
