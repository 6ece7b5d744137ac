-- +goose Up

-- The answers to requests that are to be done once: each is written in the transaction that does what was asked, so there is one exactly if it was done.
CREATE TABLE idempotency_keys (
    owner      text NOT NULL,  -- the name of the token that the request came with
    key        text NOT NULL,  -- the client's
    request    bytea NOT NULL, -- a hash of what was asked for
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    answer     jsonb NOT NULL, -- the listing as it was made
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (owner, key)
);

CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at); -- for pruning

GRANT SELECT, INSERT, DELETE ON idempotency_keys TO strata_app;
