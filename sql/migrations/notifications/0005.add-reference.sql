-- What a message names, such as a shipment's tracking number.
-- depends: 0004.keep-fences

alter table notification add column reference text check (char_length(reference) <= 128);
