-- What the service itself may do with its database, and what an auditor may see of it.
-- depends: 0005.keep-fences

-- Roles belong to the server, so they may be there already, by another database's migration or by hand. Nobody logs in as one
-- of these: a deployment makes users with passwords of its own `in role` of them.
do $$
declare
    statement text;
begin
    for statement in
        select format('create role %I nologin', name) from unnest(array['sagaledger_auditor', 'sagaledger_payments']) name
        where to_regrole(name) is null
    loop
        begin
            execute statement;
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'user % may not make roles: have a superuser run the statements of sql/roles.sql, and migrate again',
                    current_user using errcode = 'insufficient_privilege';
        end;
    end loop;
end $$;

revoke create on schema public from public;
revoke all on all tables in schema public from public;
revoke execute on all functions in schema public from public;
grant usage on schema public to sagaledger_auditor, sagaledger_payments;

grant select on _yoyo_migration to sagaledger_auditor, sagaledger_payments;
grant select, insert on fence, effect to sagaledger_payments;
grant select on sequence effect_seq_seq to sagaledger_payments;
grant update (status, body) on fence to sagaledger_payments;
grant select, insert on payment to sagaledger_payments;
grant update (status, captured_at, voided_at, refunded_at, expired_at) on payment to sagaledger_payments;

-- A stored answer may say of a person what the request said.
grant select (subject, operation, reason, idempotency_key, status, created_at) on fence to sagaledger_auditor;
grant select on effect to sagaledger_auditor;
grant select on payment to sagaledger_auditor;
