-- Where do the teacher and the student disagree: candidates that are right or wrong, by how often the student gets their task right?
WITH taught AS (
    SELECT c.id, c.task, v.score >= 0.5 AS correct
    FROM verdicts v JOIN candidates c ON c.id = v.subject
    WHERE v.filter = 'answer'
), replayed AS (
    SELECT subject, score FROM verdicts WHERE filter = 'replay'
), kept AS (
    SELECT DISTINCT candidate FROM samples WHERE candidate IS NOT NULL
)
SELECT CASE WHEN t.correct THEN 'right' ELSE 'wrong' END AS teacher,
    CASE WHEN r.score IS NULL THEN 'not replayed' WHEN r.score <= 0 THEN 'never' WHEN r.score >= 1 THEN 'always' ELSE 'sometimes' END AS student,
    count(*) AS candidates, round(count(*) / sum(count(*)) OVER (), 4) AS share, count(k.candidate) AS kept
FROM taught t LEFT JOIN replayed r ON r.subject = t.task LEFT JOIN kept k ON k.candidate = t.id
GROUP BY ALL
ORDER BY teacher, student
