drop table event_delivery, event_subscription, saga_config, participant_breaker, participant;
