alter table shipment drop column tracking;
