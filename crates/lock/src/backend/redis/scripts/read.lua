-- Reads a record. KEYS: record.
local found = redis.call('HMGET', KEYS[1], 'stamp', 'record')
return {now_ms(), found[1], found[2]}
