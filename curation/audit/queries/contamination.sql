-- What does a benchmark know already, how was that told, and did any of it come into a corpus?
-- By id and by looks (clean), by words (novel_words).
WITH kept AS (
    SELECT video, task FROM samples
), found AS (
    SELECT v.filter, v.reason, v.subject, v.subject_kind FROM verdicts v WHERE v.filter IN ('clean', 'novel_words')
)
SELECT f.filter, CASE WHEN f.reason = '' THEN 'nothing' ELSE f.reason END AS found, count(*) AS subjects,
    round(count(*) / sum(count(*)) OVER (PARTITION BY f.filter), 4) AS share,
    sum(coalesce(CASE WHEN f.subject_kind = 'video' THEN a.samples ELSE b.samples END, 0))::BIGINT AS kept
FROM found f
    LEFT JOIN (SELECT video, count(*) AS samples FROM kept GROUP BY video) a ON a.video = f.subject
    LEFT JOIN (SELECT task, count(*) AS samples FROM kept GROUP BY task) b ON b.task = f.subject
GROUP BY f.filter, f.reason
ORDER BY f.filter, subjects DESC, found
