-- Replaces the record that stands under a stamp. KEYS: record, reign, due, free, the tenant's busy, waited for and listed ones.
-- ARGV[2] tenant/name, [3] name, [4] the stamp it stands under, [5] the new one, [6] '1' or '0' for busy, waiting, listed each,
-- [7] the token, [8] its epoch, [9] its counter, [10] when it is due, [11] the text.
local had = redis.call('HMGET', KEYS[1], 'stamp', 'token', 'flags')
if had[1] ~= ARGV[4] then return 0 end
if had[2] ~= ARGV[7] then
  -- A grant: its token must be of the epoch of this very reign, and no later one may be given twice.
  local reign = redis.call('HMGET', KEYS[2], 'id', 'epoch', 'counter')
  if reign[1] ~= ruling() or reign[2] ~= ARGV[8] then return 0 end
  if tonumber(ARGV[9]) > tonumber(reign[3]) then redis.call('HSET', KEYS[2], 'counter', ARGV[9]) end
end
redis.call('HSET', KEYS[1], 'stamp', ARGV[5], 'record', ARGV[11], 'token', ARGV[7], 'flags', ARGV[6])
local function index(at, key, member)
  local is = ARGV[6]:sub(at, at)
  if is == had[3]:sub(at, at) then return false end
  if is == '1' then redis.call('ZADD', key, 0, member) else redis.call('ZREM', key, member) end
  return true
end
local busy = ARGV[6]:sub(1, 1) == '1'
if index(1, KEYS[5], ARGV[3]) then redis.call('ZREM', busy and KEYS[4] or KEYS[3], ARGV[2]) end
redis.call('ZADD', busy and KEYS[3] or KEYS[4], ARGV[10], ARGV[2])
index(2, KEYS[6], ARGV[3])
index(3, KEYS[7], ARGV[3])
return 1
