-- Under what a shipment can be followed; null for those that were scheduled before there was one.
-- depends: 0004.keep-fences

alter table shipment add column tracking text;
