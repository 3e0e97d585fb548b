-- What changed sides between another run, `--with OTHER`, and this one, and why: the same tasks and attempts, kept there and not here?
-- `task` and `candidate` are an example. `dmforge audit changed --with OTHER` has each of them, with its scores.
WITH matched AS (
    SELECT coalesce(h.stage, o.stage) AS stage, coalesce(o.side, 'not there') AS there, coalesce(h.side, 'not here') AS here,
        coalesce(o.reason, '') AS why_there, coalesce(h.reason, '') AS why_here, coalesce(h.task, o.task) AS task,
        coalesce(h.candidate, o.candidate) AS candidate
    FROM decisions h FULL JOIN other_decisions o
        ON o.stage = h.stage AND o.task = h.task AND o.attempt = h.attempt AND o.nth = h.nth
), told AS (
    SELECT stage, there, here, there = here AS same, CASE WHEN there = here THEN '' ELSE why_there END AS why_there,
        CASE WHEN there = here THEN '' ELSE why_here END AS why_here, task, candidate
    FROM matched
)
SELECT stage, there, here, why_there, why_here, count(*) AS inputs, round(count(*) / sum(count(*)) OVER (PARTITION BY stage), 4) AS share,
    arg_min(task, md5(task)) AS task, arg_min(candidate, md5(task)) AS candidate
FROM told
GROUP BY stage, there, here, same, why_there, why_here
ORDER BY stage, same, inputs DESC, there, here, why_there, why_here
