-- Which groups of questions are nearly the same, about one video or several: in which splits and sources, and how many were kept?
-- A group is what hangs together by near pairs. Groups that stand in several splits come first.
WITH members AS (
    SELECT m.about, m.cluster, t.id, t.question, t.split, t.source, t.video, f.name, k.task IS NOT NULL AS kept
    FROM near_task_groups m JOIN tasks t ON t.id = m.task
        LEFT JOIN (SELECT video, min(name) AS name FROM brought GROUP BY video) f ON f.video = t.video
        LEFT JOIN (SELECT DISTINCT task FROM samples) k ON k.task = t.id
), grouped AS (
    SELECT about, cluster, count(*) AS questions, count(DISTINCT question) AS wordings, count(DISTINCT video) AS videos,
        count(DISTINCT split) FILTER (split <> '') AS splits, list_sort(list(DISTINCT split)) AS split_names,
        list_sort(list(DISTINCT source)) AS source_names, count(*) FILTER (kept) AS kept,
        arg_min(question, id) AS question, arg_min(name, id) AS file
    FROM members GROUP BY about, cluster
)
SELECT about, questions, wordings, videos, splits > 1 AS across_splits, array_to_string(split_names, ', ') AS splits,
    array_to_string(source_names, ', ') AS sources, kept, question, file, cluster AS task
FROM grouped
ORDER BY across_splits DESC, about, questions DESC, question, cluster
