-- What does each corpus consist of, by source, licence, that of its videos, split and kind?
SELECT s.corpus, t.source, t.licence, t.split, t.task_kind AS kind, count(*) AS samples, count(DISTINCT s.video) AS videos,
    round(count(*) / sum(count(*)) OVER (PARTITION BY s.corpus), 4) AS share,
    v.licence AS video_licence
FROM samples s JOIN tasks t ON t.id = s.task LEFT JOIN videos v ON v.id = s.video
GROUP BY s.corpus, t.source, t.licence, v.licence, t.split, t.task_kind
ORDER BY s.corpus, samples DESC, t.source, t.licence, video_licence, t.split, kind
