drop function step_told(text, text, jsonb);
