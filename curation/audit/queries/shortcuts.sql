-- How far does one come without looking: by the longest option, the commonest answer, one constant span?
-- The constant span is the best of 16 beginnings x 16 ends, chosen on 500 windows of each source and kind, the first by id, and scored
-- on all. Several windows of which any will do count by the best; where all are needed, together.
WITH told AS MATERIALIZED (
    SELECT source, task_kind AS kind, options, "right", longest FROM choices WHERE "right" IS NOT NULL
), options AS (
    SELECT source, kind, count(*) AS tasks, avg(("right" = longest)::INTEGER) AS longest, avg(1 / options) AS chance
    FROM told GROUP BY source, kind
), positions AS (
    SELECT source, kind, sum(tasks)::BIGINT AS tasks, sum(most) / sum(tasks) AS hit, sum(tasks / options) / sum(tasks) AS chance
    FROM (
        SELECT source, kind, options, sum(tasks)::BIGINT AS tasks, max(tasks) AS most
        FROM (
            SELECT source, kind, options, "right", count(*) AS tasks FROM told GROUP BY source, kind, options, "right"
        )
        GROUP BY source, kind, options
    )
    GROUP BY source, kind
), words AS (
    SELECT source, kind, sum(tasks)::BIGINT AS tasks, max(tasks) / sum(tasks) AS hit
    FROM (
        SELECT source, task_kind AS kind, lower(trim(answer)) AS answer, count(*) AS tasks
        FROM tasks WHERE len(options) = 0 AND task_kind <> 'grounding'
        GROUP BY source, task_kind, lower(trim(answer))
    )
    GROUP BY source, kind
), gold AS (
    SELECT id, source, task_kind AS kind, windows, needs FROM tasks WHERE len(windows) > 0
), drawn AS (
    SELECT * FROM gold QUALIFY row_number() OVER (PARTITION BY source, kind ORDER BY id) <= 500
), bounds AS (
    SELECT source, kind, quantile_disc(windows[1].start_cs, list_transform(range(16), lambda n: n / 15)) AS starts,
        quantile_disc(windows[-1].end_cs, list_transform(range(16), lambda n: n / 15)) AS ends
    FROM drawn GROUP BY source, kind
), tried AS (
    SELECT source, kind, start_cs, unnest(ends) AS end_cs FROM (SELECT source, kind, unnest(starts) AS start_cs, ends FROM bounds)
), scored AS (
    SELECT t.source, t.kind, t.start_cs, t.end_cs, avg(window_score(g.windows, g.needs, t.start_cs, t.end_cs)) AS score
    FROM (SELECT DISTINCT * FROM tried WHERE start_cs < end_cs) t JOIN drawn g ON g.source = t.source AND g.kind = t.kind
    GROUP BY t.source, t.kind, t.start_cs, t.end_cs
), best AS (
    SELECT * FROM scored QUALIFY row_number() OVER (PARTITION BY source, kind ORDER BY score DESC, start_cs, end_cs) = 1
), constant AS (
    SELECT g.source, g.kind, count(*) AS tasks, b.start_cs, b.end_cs, avg(window_score(g.windows, g.needs, b.start_cs, b.end_cs)) AS score
    FROM gold g JOIN best b ON b.source = g.source AND b.kind = g.kind
    GROUP BY g.source, g.kind, b.start_cs, b.end_cs
)
SELECT 'longest option' AS shortcut, source, kind, tasks, round(longest, 4) AS score, round(chance, 4) AS chance, '' AS which FROM options
UNION ALL
SELECT 'commonest option', source, kind, tasks, round(hit, 4), round(chance, 4), '' FROM positions
UNION ALL
SELECT 'commonest answer', source, kind, tasks, round(hit, 4), NULL, '' FROM words
UNION ALL
SELECT 'constant span', source, kind, tasks, round(score, 4), NULL, format('{:.2f} - {:.2f}', start_cs / 100, end_cs / 100)
FROM constant
ORDER BY shortcut, source, kind
