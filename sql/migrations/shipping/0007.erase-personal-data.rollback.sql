revoke update (request_hash) on fence from sagaledger_shipping;
revoke update (address) on shipment from sagaledger_shipping;
