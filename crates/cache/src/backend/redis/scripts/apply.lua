-- Applies changes: ARGV[4] '1' for all or nothing, [5] and [6] the most keys and bytes or '', [7] to [8] the fence, [9] the most
-- fences, [10] to [13] the id of an idempotency key or '', the digest of the request, how long its answer is kept, and the length
-- that a store tells in place of an append; then the changes. All are planned before the first is made.
local OVERHEAD = 160
local keys_max, bytes_max = tonumber(ARGV[5]), tonumber(ARGV[6])
-- What was done once keeps its answer, whatever has changed since.
local once = ARGV[10] ~= '' and p .. 'o:' .. ARGV[10]
local first = once and redis.call('GET', once)
if first then
  if first:sub(1, 32) ~= ARGV[11] then return {now, 'another'} end
  return {now, 'again', first:sub(33)}
end
local refused = fenced(ARGV[7], ARGV[8], tonumber(ARGV[9]))
if refused then return refused end

local planned = {}
while at < #ARGV do
  local kind = arg()
  local plan = {key = arg()}
  local stands = look(plan.key)
  local e = stands and stands.kind == 'v' and stands or nil
  plan.refused = plans[kind](plan, e, stands)
  planned[#planned + 1] = plan
  if plan.refused and ARGV[4] == '1' then return {now, 'no', #planned - 1, plan.refused} end
end

-- What a change adds to the books.
local function growth(plan)
  local before = redis.call('HGET', p .. 's', plan.key)
  if plan.step == 'delete' then return before and -1 or 0, -(tonumber(before or '0')) end
  if plan.step == 'miss' then return 0, 0 end
  local length = plan.length or plan.value and #plan.value
  if not length then return 0, 0 end
  plan.bytes = #plan.key + 112 + #plan.e.tail + length + OVERHEAD
  return before and 0 or 1, plan.bytes - tonumber(before or '0')
end

-- Books are right only without what expired.
local rounds = 0
while reap((keys_max or bytes_max) and 1000 or 20) >= 1000 and rounds < 100 do rounds = rounds + 1 end
local held_keys = redis.call('ZCARD', p .. 'k')
local held_bytes = tonumber(redis.call('HGET', p .. 'n', 'b') or '0')

local function passes(keys, bytes)
  if keys > 0 and keys_max and held_keys + keys > keys_max then return {'quota', 'keys', held_keys, keys_max} end
  if bytes > 0 and bytes_max and held_bytes + bytes > bytes_max then return {'quota', 'bytes', held_bytes, bytes_max} end
  held_keys, held_bytes = held_keys + keys, held_bytes + bytes
  return nil
end

if ARGV[4] == '1' then
  local keys, bytes = 0, 0
  for _, plan in ipairs(planned) do
    local more_keys, more_bytes = growth(plan)
    keys, bytes = keys + more_keys, bytes + more_bytes
  end
  local passed = passes(keys, bytes)
  if passed then return {now, 'no', -1, passed} end
else
  for _, plan in ipairs(planned) do
    if not plan.refused then plan.refused = passes(growth(plan)) end
  end
end

open()

-- Stamps of the tags of an entry live at least as long as it can.
local function stamp(e)
  local hard = e.idle > 0 and e.limit or e.expires
  for _, tag in ipairs(tags_of(e)) do
    local key = p .. 't:' .. tag
    local left = redis.call('PTTL', key)
    local need = math.max(hard - now + grace, 1)
    if left == -2 then
      redis.call('SET', key, next_version())
      left = 0
    end
    if hard == 0 then
      redis.call('PERSIST', key)
    elseif left >= 0 and left < need then
      redis.call('PEXPIRE', key, need)
    end
  end
end

-- Rows of an entry in the books.
local function book(plan)
  if not plan.bytes then return end
  local before = redis.call('HGET', p .. 's', plan.key) or '0'
  redis.call('HSET', p .. 's', plan.key, plan.bytes)
  redis.call('HINCRBY', p .. 'n', 'b', plan.bytes - tonumber(before))
  redis.call('ZADD', p .. 'k', 0, plan.key)
end

local function make(plan)
  if plan.step == 'miss' then
    return {'m', plan.stands and redis.call('GET', p .. 'e:' .. plan.key) or false}
  end
  end_lease(plan.key)
  if plan.step == 'delete' then
    remove(plan.key)
    return {'d', plan.existed and 1 or 0}
  end
  local e, key = plan.e, p .. 'e:' .. plan.key
  stamp(e)
  e.version = next_version()
  if plan.step == 'put' then
    redis.call('SET', key, head(e) .. plan.value)
  else
    if plan.step == 'append' then redis.call('APPEND', key, plan.value) end
    redis.call('SETRANGE', key, 0, head(e))
  end
  keep(e, plan.key)
  book(plan)
  if plan.tell == 't' then return {'t', redis.call('GET', key)} end
  if plan.tell == 'c' then return {'c', e.version, e.expires, plan.value} end
  if plan.tell == 'a' then return {'a', e.version, e.expires, plan.length} end
  return {'s', e.version, e.expires}
end

local made = {}
for _, plan in ipairs(planned) do
  made[#made + 1] = plan.refused and {'no', plan.refused} or make(plan)
end
-- One entry at random: what was invalidated, or evicted by the server, leaves the books in time.
local chance = redis.call('ZRANDMEMBER', p .. 'k')
if chance and not look(chance) then remove(chance) end
raise(ARGV[7], ARGV[8])
local done = once and made[1]
if done and (done[1] == 'c' or done[1] == 'a' or ARGV[13] ~= '') then
  local letter, told = done[1], done[4]
  if ARGV[13] ~= '' then letter, told = 'a', ARGV[13] end
  redis.call('SET', once, ARGV[11] .. letter .. ' ' .. done[2] .. ' ' .. done[3] .. ' ' .. told, 'PX', ARGV[12])
end
return {now, 'ok', made}
