-- What is said twice: videos that are copies (original), tasks said before (unique) or asked elsewhere (fresh), by source?
WITH about AS (
    SELECT v.filter, coalesce(t.source, p.source, 'unknown') AS source, v.score, v.subject
    FROM verdicts v LEFT JOIN tasks t ON t.id = v.subject LEFT JOIN provenances p ON p.video = v.subject
    WHERE v.filter IN ('original', 'unique', 'fresh')
)
SELECT filter, source, count(*) AS measured, count(*) FILTER (score < 1) AS alike, count(*) FILTER (score < 0.5) AS very_alike,
    round(count(*) FILTER (score < 1) / count(*), 4) AS alike_share, round(avg(score), 4) AS mean, round(min(score), 4) AS least
FROM about
GROUP BY filter, source
ORDER BY filter, source
