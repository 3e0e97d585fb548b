-- What does each corpus consist of, by source, licence, split and kind?
SELECT s.corpus, t.source, t.licence, t.split, t.task_kind AS kind, count(*) AS samples, count(DISTINCT s.video) AS videos,
    round(count(*) / sum(count(*)) OVER (PARTITION BY s.corpus), 4) AS share
FROM samples s JOIN tasks t ON t.id = s.task
GROUP BY s.corpus, t.source, t.licence, t.split, t.task_kind
ORDER BY s.corpus, samples DESC, t.source, t.licence, t.split, kind
