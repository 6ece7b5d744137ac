-- +goose Up

-- Which transaction a kept answer is of, an id alone does not tell: after a crash or a restore the same id may be given out again.
ALTER TABLE idempotency_keys ADD COLUMN epoch bigint;
ALTER TABLE idempotency_keys ALTER COLUMN epoch SET DEFAULT public.strata_epoch();
