revoke update (request_hash) on fence from sagaledger_payments;
