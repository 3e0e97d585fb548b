-- How far do two reviewers agree on what both have seen? Cohen's kappa: 1 is always, 0 is as often as by chance.
WITH said AS (
    SELECT subject, split_part(detail, ':', 1) AS reviewer, score FROM verdicts WHERE filter = 'human'
), pairs AS (
    SELECT a.reviewer AS one, b.reviewer AS other, count(*) AS shared, avg(CAST(a.score = b.score AS INT)) AS agreed,
        avg(a.score) AS one_keeps, avg(b.score) AS other_keeps
    FROM said a JOIN said b ON a.subject = b.subject AND a.reviewer < b.reviewer
    GROUP BY ALL
), expected AS (
    SELECT *, one_keeps * other_keeps + (1 - one_keeps) * (1 - other_keeps) AS chance FROM pairs
)
SELECT one, other, shared, round(one_keeps, 3) AS one_keeps, round(other_keeps, 3) AS other_keeps, round(agreed, 3) AS agreed,
    CASE WHEN chance < 1 THEN round((agreed - chance) / (1 - chance), 3) END AS kappa
FROM expected
ORDER BY shared DESC, one, other
