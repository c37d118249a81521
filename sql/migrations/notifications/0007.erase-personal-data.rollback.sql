revoke update (request_hash) on fence from sagaledger_notifications;
revoke update (reference) on notification from sagaledger_notifications;
