-- Does it matter where one looks: how much better is the right window than a wrong one, and than no look, by source and kind?
-- Tasks whose right window nobody knows have been tried n = 0 times; they are counted apart.
SELECT v.filter, t.source, t.task_kind AS kind, count(*) FILTER (v.n > 0) AS tasks, count(*) FILTER (v.n = 0) AS no_window,
    round(avg(v.score) FILTER (v.n > 0), 4) AS gain, round(quantile_cont(v.score, 0.1) FILTER (v.n > 0), 4) AS low,
    round(median(v.score) FILTER (v.n > 0), 4) AS middle, round(quantile_cont(v.score, 0.9) FILTER (v.n > 0), 4) AS high,
    count(*) FILTER (v.n > 0 AND v.score <= 0) AS no_gain
FROM verdicts v JOIN tasks t ON t.id = v.subject
WHERE v.filter IN ('necessity', 'necessity_coarse')
GROUP BY v.filter, t.source, t.task_kind
ORDER BY v.filter, t.source, kind
