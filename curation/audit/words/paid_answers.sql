-- The answers in the journal with what they cost: NULL where the model has no price.
CREATE OR REPLACE TEMP VIEW paid_answers AS
SELECT a.*, (coalesce(a.input_tokens, 0) * p.input_usd + coalesce(a.output_tokens, 0) * p.output_usd)
    * CASE WHEN a.batched THEN p.batch_share ELSE 1 END / 1e6 AS usd
FROM answers a LEFT JOIN prices p ON p.model = a.model
