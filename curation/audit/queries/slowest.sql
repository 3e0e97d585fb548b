-- Which stages took the longest, over all runs together, and how many inputs a second did they settle?
WITH took AS (
    SELECT stage, count(DISTINCT run) AS runs, sum(seconds) AS seconds FROM run_stages GROUP BY stage
)
SELECT t.stage, t.runs, round(t.seconds, 1) AS seconds, round(t.seconds / nullif(sum(t.seconds) OVER (), 0), 4) AS share,
    s.inputs - s.pending AS settled, round((s.inputs - s.pending) / nullif(t.seconds, 0), 1) AS settled_a_second
FROM took t LEFT JOIN stages s ON s.stage = t.stage
ORDER BY t.seconds DESC, t.stage
