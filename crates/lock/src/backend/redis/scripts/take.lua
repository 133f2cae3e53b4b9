-- Reads a record for whoever wants the lock, and makes it where there is none. KEYS: record, reign, free, the tenant's busy
-- ones. ARGV[2] tenant/name, [3] stamp and [4] text of a new record, [5] how many milliseconds it is kept.
local now, id = now_ms(), ruling()
local reign = redis.call('HMGET', KEYS[2], 'id', 'epoch', 'counter')
if reign[1] ~= id then return {now, 'reign', reign[2] or '0'} end
local found = redis.call('HMGET', KEYS[1], 'stamp', 'record')
if not found[1] then
  make(KEYS[1], KEYS[3], ARGV[2], ARGV[3], ARGV[4], now + tonumber(ARGV[5]))
  found = {ARGV[3], ARGV[4]}
end
return {now, 'ok', reign[2], reign[3], redis.call('ZCARD', KEYS[4]), found[1], found[2]}
