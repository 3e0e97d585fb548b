-- Which samples are in this selection, which in another one, `--with OTHER`, and what was said here of those only the other has?
WITH here AS (
    SELECT s.id, s.corpus, s.candidate, s.task FROM samples s
), why AS (
    -- what selects tasks and what selects candidates says so of its own inputs
    SELECT o.input, o.stage, o.status || CASE WHEN o.reason = '' THEN '' ELSE ': ' || o.reason END AS told
    FROM outcomes o WHERE o.stage IN (SELECT stage FROM outcomes WHERE stage LIKE 'select%')
), matched AS (
    SELECT coalesce(h.corpus, o.corpus) AS corpus,
        CASE WHEN o.id IS NULL THEN 'only here' WHEN h.id IS NULL THEN 'only there' ELSE 'in both' END AS "where",
        CASE WHEN h.id IS NULL THEN coalesce(w.told, CASE
            WHEN o.candidate IS NULL AND o.task IS NULL THEN 'not told' ELSE 'not in this workspace' END) ELSE '' END AS here
    FROM here h FULL JOIN others o ON o.id = h.id AND o.corpus = h.corpus
        LEFT JOIN why w ON h.id IS NULL AND w.input = coalesce(o.candidate, o.task)
)
SELECT corpus, "where", here, count(*) AS samples, round(count(*) / sum(count(*)) OVER (PARTITION BY corpus), 4) AS share
FROM matched
GROUP BY corpus, "where", here
ORDER BY corpus, "where", samples DESC, here
