-- Which questions are nearly the same, pair by pair: by their words or their meaning, about which videos, from which split and source?
-- Of questions with the same words each stands with the first. What is about two splits comes first.
SELECT p.about, p.by, round(p.likeness, 3) AS likeness, a.question, b.question AS other_question, a.split, b.split AS other_split,
    a.source, b.source AS other_source, f.name AS file, g.name AS other_file, k.task IS NOT NULL AS kept,
    l.task IS NOT NULL AS other_kept, a.id AS task, b.id AS other_task
FROM near_task_pairs p JOIN tasks a ON a.id = p.task JOIN tasks b ON b.id = p.other_task
    LEFT JOIN (SELECT video, min(name) AS name FROM brought GROUP BY video) f ON f.video = a.video
    LEFT JOIN (SELECT video, min(name) AS name FROM brought GROUP BY video) g ON g.video = b.video
    LEFT JOIN (SELECT DISTINCT task FROM samples) k ON k.task = a.id LEFT JOIN (SELECT DISTINCT task FROM samples) l ON l.task = b.id
ORDER BY a.split = b.split, p.about, p.likeness DESC, p.by, a.id, b.id
