-- What the service itself may do with its database, and what an auditor may see of it.
-- depends: 0005.keep-fences

-- Roles belong to the server, so they may be there already, by another database's migration or by hand. Nobody logs in as one
-- of these: a deployment makes users with passwords of its own `in role` of them.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['sagaledger_auditor', 'sagaledger_payments'] loop
        begin
            if to_regrole(wanted) is null then
                execute format('create role %I nologin', wanted);
            end if;
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'role % may not make the role %: have a superuser run `create role % nologin`, and migrate again',
                    current_user, wanted, wanted using errcode = 'insufficient_privilege';
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
