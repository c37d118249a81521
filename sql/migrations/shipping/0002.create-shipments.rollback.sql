drop table shipment;
