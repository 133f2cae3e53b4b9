-- Reads keys at one instant. ARGV[4] is 'r' for a reader and 'p' for who only looks; the keys follow.
local found = {now}
for at = 5, #ARGV do
  local e = look(ARGV[at])
  if e and ARGV[4] == 'r' then slide(e, ARGV[at]) end
  found[#found + 1] = e and redis.call('GET', p .. 'e:' .. ARGV[at]) or false
end
return found
