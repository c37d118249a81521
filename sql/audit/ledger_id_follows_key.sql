-- title: An order's id follows from client and key
-- database: ledger
-- kind: invariant
-- invariant: I5
-- a row means: this order's id is not the UUIDv8 of its client and key, so a repeat of its request would not be recognised
with digest as (
    -- Each part is preceded by its length in bytes, so that no two lists of parts give the same digest.
    select order_ledger_id, client_id, client_request_id, sha256(
        int8send(5) || convert_to('order', 'UTF8')
        || int8send(octet_length(convert_to(client_id, 'UTF8'))) || convert_to(client_id, 'UTF8')
        || int8send(octet_length(convert_to(client_request_id, 'UTF8'))) || convert_to(client_request_id, 'UTF8')) as bits
    from order_ledger
), derived as (
    -- RFC 9562: version 8 in the upper half of byte 6, variant 10 in the two upper bits of byte 8.
    select order_ledger_id, client_id, client_request_id, encode(set_byte(set_byte(substr(bits, 1, 16),
        6, get_byte(bits, 6) & 15 | 128), 8, get_byte(bits, 8) & 63 | 128), 'hex')::uuid as expected_id
    from digest
)
select order_ledger_id, expected_id, client_id, client_request_id
from derived
where order_ledger_id <> expected_id;
