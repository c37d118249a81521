-- The roles stay: other databases of the server may use them.
revoke all on all tables in schema public from sagaledger_auditor, sagaledger_inventory;
revoke all on all sequences in schema public from sagaledger_inventory;
revoke all on schema public from sagaledger_auditor, sagaledger_inventory;
grant execute on all functions in schema public to public;
