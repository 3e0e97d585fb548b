-- A task with options: which is right, and which is the longest, counted from 1 (the first of several); NULL where that can't be told.
-- Answers stand as they were annotated: a letter, `(b)`, `B. its text`, or the text of an option.
CREATE OR REPLACE TEMP VIEW choices AS
WITH told AS (
    SELECT id, video, task_kind, source, options, trim(answer, ' *`"''') AS answer,
        list_transform(options, lambda option: lower(trim(option))) AS texts
    FROM tasks WHERE len(options) > 0
), lettered AS (
    SELECT *, ascii(lower(regexp_extract(answer, '^(?:(?:option|choice)\s+)?[(\[]?([a-z])[)\]]?[.):]?$', 1, 'i'))) - 96 AS alone,
        ascii(lower(regexp_extract(answer, '^[(\[]?([a-z])[)\].:]+\s*\S', 1, 'i'))) - 96 AS first_letter
    FROM told
)
SELECT id, video, task_kind, source, len(options) AS options,
    CASE
        WHEN alone BETWEEN 1 AND len(options) THEN alone
        WHEN list_contains(texts, lower(answer)) THEN list_position(texts, lower(answer))
        WHEN first_letter BETWEEN 1 AND len(options) THEN first_letter
    END::INTEGER AS "right",
    list_position(list_transform(options, lambda option: len(option)), list_max(list_transform(options, lambda option: len(option))))
        ::INTEGER AS longest
FROM lettered
