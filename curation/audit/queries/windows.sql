-- How long are windows, how much of the video are they, and where in it do they lie: those of gold and those that candidates look at?
WITH spans AS (
    SELECT 'gold' AS "of", t.source, t.task_kind AS kind, t.video, unnest(t.windows) AS span
    FROM tasks t
    UNION ALL
    SELECT 'looked', t.source, t.task_kind, c.video, unnest(list_transform(c.looks, lambda look: look."window"))
    FROM candidates c JOIN tasks t ON t.id = c.task
), measured AS (
    SELECT s."of", s.source, s.kind, (s.span.end_cs - s.span.start_cs) / 100 AS length_s,
        (s.span.end_cs - s.span.start_cs) / nullif(v.duration_cs, 0) AS share,
        (s.span.end_cs + s.span.start_cs) / 2 / nullif(v.duration_cs, 0) AS middle
    FROM spans s LEFT JOIN videos v ON v.id = s.video
), summed AS (
    SELECT "of", source, kind, count(*) AS windows, quantile_cont(length_s, [0.1, 0.5, 0.9]) AS length_s,
        median(share) AS share, quantile_cont(middle, [0.1, 0.5, 0.9]) AS middle
    FROM measured GROUP BY "of", source, kind
)
SELECT "of", source, kind, windows, round(length_s[1], 2) AS short_s, round(length_s[2], 2) AS median_s, round(length_s[3], 2) AS long_s,
    round(share, 4) AS share_of_video, round(middle[1], 3) AS early, round(middle[2], 3) AS middle, round(middle[3], 3) AS late
FROM summed
ORDER BY "of", source, kind
