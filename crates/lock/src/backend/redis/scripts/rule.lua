-- Begins the epoch of a reign that has none. KEYS: reign. ARGV[2] the epoch. Returns whether the reign has one now; it has none
-- where the epoch is not above the stored one.
local id = ruling()
local reign = redis.call('HMGET', KEYS[1], 'id', 'epoch')
if reign[1] == id then return 1 end
if reign[2] and tonumber(reign[2]) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'id', id, 'epoch', ARGV[2], 'counter', '0')
return 1
