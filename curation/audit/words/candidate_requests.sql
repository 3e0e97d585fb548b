-- Every request that a candidate was made from, in their order: its prompt, which attempt it was, and what it cost, cut answers included.
-- What the journal doesn't say is NULL.
CREATE OR REPLACE TEMP VIEW candidate_requests AS
WITH requested AS (
    SELECT id AS candidate, task, video, teacher, unnest(requests) AS request, generate_subscripts(requests, 1) AS nth FROM candidates
), paid AS (
    SELECT request, max(model) AS model, max(stage) AS stage, max(prompt) AS prompt, max(prompt_sha256) AS prompt_sha256,
        max(attempt) AS attempt, count(*) AS answers, sum(input_tokens)::BIGINT AS input_tokens,
        sum(output_tokens)::BIGINT AS output_tokens, sum(usd) AS usd
    FROM paid_answers WHERE request IS NOT NULL GROUP BY request
)
SELECT r.candidate, r.task, r.video, r.teacher, r.request, r.nth, p.model, p.stage, p.prompt, p.prompt_sha256, p.attempt, p.answers,
    p.input_tokens, p.output_tokens, p.usd
FROM requested r LEFT JOIN paid p ON p.request = r.request
