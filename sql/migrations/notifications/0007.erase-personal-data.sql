-- What is known of a person can be erased, and with it what tells that a request had it in it: a hash over an address can be
-- guessed.
-- depends: 0006.add-roles

grant update (request_hash) on fence to sagaledger_notifications;
grant update (reference) on notification to sagaledger_notifications;
