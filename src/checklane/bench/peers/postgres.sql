-- The same commit in one function: key, receipt, entry, lot, balance, counters, once.
CREATE SEQUENCE lsn;

CREATE TABLE entries (
    lsn bigint PRIMARY KEY,
    posted timestamptz NOT NULL DEFAULT clock_timestamp(),
    account bigint NOT NULL,
    request bytea NOT NULL,
    response bytea NOT NULL
);

CREATE TABLE keys (
    hi bigint, lo bigint, content_hi bigint NOT NULL, content_lo bigint NOT NULL,
    lsn bigint NOT NULL,
    PRIMARY KEY (hi, lo)
);

CREATE TABLE receipts (
    hi bigint, lo bigint, content_hi bigint NOT NULL, content_lo bigint NOT NULL,
    lsn bigint NOT NULL,
    PRIMARY KEY (hi, lo)
);

-- Room on each page lets an update stay on it and touch no index.
CREATE TABLE balances (
    account bigint, purse smallint, points bigint NOT NULL,
    PRIMARY KEY (account, purse)
) WITH (fillfactor = 70);

CREATE TABLE lots (
    account bigint, purse smallint, activation_day integer, expiry_day integer,
    points bigint NOT NULL,
    PRIMARY KEY (account, purse, activation_day, expiry_day)
) WITH (fillfactor = 70);

CREATE TABLE counters (
    account bigint, offer integer, day integer, uses bigint NOT NULL,
    PRIMARY KEY (account, offer, day)
) WITH (fillfactor = 70);

CREATE FUNCTION commit_sale(
    key_hi bigint, key_lo bigint, new_content_hi bigint, new_content_lo bigint,
    receipt_hi bigint, receipt_lo bigint,
    of_account bigint, of_purse smallint, of_activation integer, of_expiry integer,
    more bigint, offers integer[], of_day integer, new_request bytea, new_response bytea
) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    new_lsn bigint;
    bound record;
BEGIN
    INSERT INTO keys VALUES
        (key_hi, key_lo, new_content_hi, new_content_lo, nextval('lsn'))
        ON CONFLICT DO NOTHING RETURNING keys.lsn INTO new_lsn;
    IF NOT FOUND THEN
        SELECT k.content_hi, k.content_lo, e.response INTO bound
            FROM keys k JOIN entries e USING (lsn) WHERE k.hi = key_hi AND k.lo = key_lo;
        IF bound.content_hi <> new_content_hi OR bound.content_lo <> new_content_lo THEN
            RAISE EXCEPTION 'KEY_REUSED' USING ERRCODE = 'unique_violation';
        END IF;
        RETURN bound.response;
    END IF;
    INSERT INTO receipts VALUES
        (receipt_hi, receipt_lo, new_content_hi, new_content_lo, new_lsn)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT r.content_hi, r.content_lo, e.response INTO bound
            FROM receipts r JOIN entries e USING (lsn)
            WHERE r.hi = receipt_hi AND r.lo = receipt_lo;
        IF bound.content_hi <> new_content_hi OR bound.content_lo <> new_content_lo THEN
            RAISE EXCEPTION 'RECEIPT_REUSED' USING ERRCODE = 'unique_violation';
        END IF;
        DELETE FROM keys WHERE hi = key_hi AND lo = key_lo;
        RETURN bound.response;
    END IF;
    INSERT INTO entries (lsn, account, request, response)
        VALUES (new_lsn, of_account, new_request, new_response);
    INSERT INTO lots VALUES (of_account, of_purse, of_activation, of_expiry, more)
        ON CONFLICT (account, purse, activation_day, expiry_day)
        DO UPDATE SET points = lots.points + excluded.points;
    INSERT INTO balances VALUES (of_account, of_purse, more)
        ON CONFLICT (account, purse) DO UPDATE SET points = balances.points + excluded.points;
    INSERT INTO counters SELECT of_account, offer, of_day, count(*)
        FROM unnest(offers) AS offer GROUP BY offer
        ON CONFLICT (account, offer, day) DO UPDATE SET uses = counters.uses + excluded.uses;
    RETURN new_response;
END
$$;
