-- One page of keys in the order of their bytes: ARGV[4] the prefix, [5] the last key of the page before or '', [6] how many keys
-- are looked at. Rows whose entry is gone are removed. Answers the time, the place of the next page or nil, and for each
-- value its key, version, expiry and length.
local prefix, after, most = ARGV[4], ARGV[5], tonumber(ARGV[6])
local from = after ~= '' and '(' .. after or '[' .. prefix
local keys = redis.call('ZRANGEBYLEX', p .. 'k', from, prefix == '' and '+' or '[' .. prefix .. '\255', 'LIMIT', 0, most)
local found = {now, #keys == most and keys[#keys] or false}
for _, key in ipairs(keys) do
  local e = look(key)
  if not e then
    remove(key)
  elseif e.kind == 'v' then
    found[#found + 1] = {key, e.version, e.expires, redis.call('STRLEN', p .. 'e:' .. key) - e.len}
  end
end
return found
