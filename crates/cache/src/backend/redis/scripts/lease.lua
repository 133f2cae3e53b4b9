-- Reads a key (ARGV[4]) and opens a lease of ARGV[5] milliseconds where it needs one, or where ARGV[6] is 1.
local key, found = ARGV[4], false
local e = look(key)
if e then
  slide(e, key)
  found = redis.call('GET', p .. 'e:' .. key)
  if ARGV[6] ~= '1' and (e.kind == 'n' or e.fresh == 0 or e.fresh > now) then return {now, found, 'n'} end
end
local token, ends = lease_of(key)
if token then return {now, found, 'h', token, ends - now} end
open()
token = next_version()
redis.call('SET', p .. 'l:' .. key, token .. string.format('%d', now + tonumber(ARGV[5])), 'PX', tonumber(ARGV[5]) + grace)
return {now, found, 'g', token}
