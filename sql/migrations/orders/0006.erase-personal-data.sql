-- What is known of a customer can be erased, and with it what the stored answers to adding and changing one repeat.
-- depends: 0005.add-roles

create table customer_change (
    idempotency_key text primary key,                           -- of the fence `change/KEY`
    customer_id     text not null
);
create index customer_change_customer on customer_change (customer_id);
-- Those from before are told by their answers, which name the customer.
insert into customer_change (idempotency_key, customer_id)
select idempotency_key, body::jsonb ->> 'customer_id' from fence
where subject like 'change/%' and reason = 'done' and body is not null and body::jsonb ? 'customer_id';

grant select, insert on customer_change to sagaledger_orders;
grant select on customer_change to sagaledger_auditor;
grant update (request_hash) on fence to sagaledger_orders;
