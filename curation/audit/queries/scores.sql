-- How did each score change between another run, `--with OTHER`, and this one, over the same tasks and attempts?
-- The interval of 95 % is that of the mean difference, by its standard error over videos: what is about one video is alike.
WITH pairs AS (
    SELECT h.filter, h.video, o.score AS there, h.score AS here
    FROM try_scores h JOIN other_scores o ON o.task = h.task AND o.attempt = h.attempt AND o.nth = h.nth AND o.filter = h.filter
), by_video AS (
    SELECT filter, video, count(*) AS n, sum(there) AS there, sum(here) AS here, count(*) FILTER (here > there + 1e-9) AS rose,
        count(*) FILTER (here < there - 1e-9) AS fell
    FROM pairs GROUP BY filter, video
), summed AS (
    SELECT filter, sum(n) AS pairs, count(*) AS videos, sum(there) / sum(n) AS there, sum(here) / sum(n) AS here,
        sum(here - there) / sum(n) AS difference, sum(rose)::BIGINT AS rose, sum(fell)::BIGINT AS fell
    FROM by_video GROUP BY filter
), spread AS (
    SELECT b.filter, sqrt(sum((b.here - b.there - s.difference * b.n) ** 2) * any_value(s.videos / nullif(s.videos - 1, 0)))
        / any_value(s.pairs) AS error
    FROM by_video b JOIN summed s ON s.filter = b.filter GROUP BY b.filter
)
SELECT s.filter, s.pairs::BIGINT AS pairs, round(s.there, 4) AS there, round(s.here, 4) AS here, round(s.difference, 4) AS difference,
    round(s.difference - 1.959964 * e.error, 4) AS low, round(s.difference + 1.959964 * e.error, 4) AS high, s.rose, s.fell
FROM summed s JOIN spread e ON e.filter = s.filter
ORDER BY abs(s.difference) DESC, s.filter
