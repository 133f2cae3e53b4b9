-- Reads keys at one instant. ARGV[4] is 'r' for a reader and 'p' for who only looks, [5] the most bytes of values; the keys
-- follow. Answers the time, 0 and the entries. Where their values have more bytes: how many instead of 0, and to who only looks
-- the heads alone.
local reads, most, entries, bytes = ARGV[4] == 'r', tonumber(ARGV[5]), {}, 0
for at = 6, #ARGV do
  local e = look(ARGV[at])
  entries[at] = e
  if e then bytes = bytes + redis.call('STRLEN', p .. 'e:' .. ARGV[at]) - e.len end
end
local large = bytes > most
if large and reads then return {now, bytes} end
local found = {now, large and bytes or 0}
for at = 6, #ARGV do
  local e, key = entries[at], p .. 'e:' .. ARGV[at]
  if e and reads then slide(e, ARGV[at]) end
  found[#found + 1] = e and (large and redis.call('GETRANGE', key, 0, e.len - 1) or redis.call('GET', key)) or false
end
return found
