-- Which gold did reviewers correct: what was right until then, what should be, and in which line was it imported?
-- Nothing of the lake is changed by that: whoever corrects the line and imports it again has a task anew.
SELECT t.origin, r.subject AS task, t.question, t.answer, r.gold_answer AS new_answer, spans(t.windows) AS windows,
    spans(r.gold_windows) AS new_windows, r.reviewer, r.note
FROM reviews r LEFT JOIN tasks t ON t.id = r.subject
WHERE r.subject_kind = 'task' AND (r.gold_answer <> '' OR len(r.gold_windows) > 0)
ORDER BY t.origin, r.subject, r.reviewer
