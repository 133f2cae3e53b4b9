-- Reads a key (ARGV[4]) and opens a lease of ARGV[5] milliseconds where it needs one, or where ARGV[6] is 1. ARGV[7]: the most
-- that are open.
local key, found = ARGV[4], false
local e = look(key)
if e then
  slide(e, key)
  found = redis.call('GET', p .. 'e:' .. key)
  if ARGV[6] ~= '1' and (e.kind == 'n' or e.fresh == 0 or e.fresh > now) then return {now, found, 'n'} end
end
local token, ends = lease_of(key)
if token then return {now, found, 'h', token, ends - now} end
-- Those whose time has come make room: some with each opening, all of them where there is none.
local open_leases, ms = p .. 'q', tonumber(ARGV[5])
local due = redis.call('ZRANGEBYSCORE', open_leases, '-inf', now, 'LIMIT', 0, 100)
if #due > 0 then redis.call('ZREM', open_leases, unpack(due)) end
local most = tonumber(ARGV[7])
if redis.call('ZCARD', open_leases) >= most then
  redis.call('ZREMRANGEBYSCORE', open_leases, '-inf', now)
  if redis.call('ZCARD', open_leases) >= most then return {now, false, 'c'} end
end
open()
token = next_version()
redis.call('SET', p .. 'l:' .. key, token .. string.format('%d', now + ms), 'PX', ms + grace)
redis.call('ZADD', open_leases, now + ms, key)
if redis.call('PTTL', open_leases) < ms + grace then redis.call('PEXPIRE', open_leases, ms + grace) end
return {now, found, 'g', token}
