-- How far do two reviewers agree on what both have seen? Cohen's kappa: 1 is always, 0 is as often as by chance.
-- `kappa_low` and `kappa_high` are the ends of an interval of 95 %: Wilson's of the share in which they agree, with chance as it was measured.
WITH said AS (
    SELECT subject, split_part(detail, ':', 1) AS reviewer, score FROM verdicts WHERE filter = 'human'
), pairs AS (
    SELECT a.reviewer AS one, b.reviewer AS other, count(*) AS shared, avg(CAST(a.score = b.score AS INT)) AS agreed,
        count(*) FILTER (a.score = b.score) AS agreements, avg(a.score) AS one_keeps, avg(b.score) AS other_keeps
    FROM said a JOIN said b ON a.subject = b.subject AND a.reviewer < b.reviewer
    GROUP BY ALL
), expected AS (
    SELECT *, one_keeps * other_keeps + (1 - one_keeps) * (1 - other_keeps) AS chance FROM pairs
)
SELECT one, other, shared, round(one_keeps, 3) AS one_keeps, round(other_keeps, 3) AS other_keeps, round(agreed, 3) AS agreed,
    CASE WHEN chance < 1 THEN round((agreed - chance) / (1 - chance), 3) END AS kappa,
    CASE WHEN chance < 1 THEN round(greatest(-1, (wilson(agreements, shared)[1] - chance) / (1 - chance)), 3) END AS kappa_low,
    CASE WHEN chance < 1 THEN round((wilson(agreements, shared)[2] - chance) / (1 - chance), 3) END AS kappa_high
FROM expected
ORDER BY shared DESC, one, other
