-- Finds out what each change will do, before the first write.
local at = 13
local function arg()
  at = at + 1
  return ARGV[at]
end

local function life()
  return {kind = arg(), ms = tonumber(arg()), idle = tonumber(arg()), fresh = tonumber(arg())}
end

-- Puts the times of a life, which begins now, into an entry.
local function live(e, l)
  local hard = l.kind == 'n' and 0 or l.kind == 'a' and now + l.ms or l.ms
  e.idle, e.limit, e.expires = l.idle, 0, hard
  if l.idle > 0 then
    e.limit, e.expires = hard, now + l.idle
    if hard > 0 and hard < e.expires then e.expires = hard end
  end
  e.fresh = l.fresh < 0 and 0 or now + l.fresh
end

-- An entry of the six fields that a caller sends, living from now on.
local function fresh_entry(l)
  local e = {flags = arg(), kind = arg(), enc = arg(), ct = arg(), nt = arg(), tail = arg(), created = now}
  live(e, l)
  return e
end

-- Two halves of nine digits and more hold any sum of two 64-bit integers exactly.
local function halves(text)
  local sign = 1
  if text:sub(1, 1) == '-' then sign, text = -1, text:sub(2) end
  return sign * (tonumber(text:sub(1, -10)) or 0), sign * tonumber(text:sub(-9))
end

local function normal(hi, lo)
  local carry = math.floor(lo / 1e9)
  hi, lo = hi + carry, lo - carry * 1e9
  if hi < 0 and lo > 0 then hi, lo = hi + 1, lo - 1e9 end
  return hi, lo
end

local function less(hi, lo, text)
  local other_hi, other_lo = halves(text)
  return hi < other_hi or (hi == other_hi and lo < other_lo)
end

local function more(hi, lo, text)
  local other_hi, other_lo = halves(text)
  return hi > other_hi or (hi == other_hi and lo > other_lo)
end

local function decimal(hi, lo)
  local sign = (hi < 0 or lo < 0) and '-' or ''
  hi, lo = math.abs(hi), math.abs(lo)
  if hi > 0 then return sign .. string.format('%.0f%09.0f', hi, lo) end
  return sign .. string.format('%.0f', lo)
end

-- Whether text is a decimal 64-bit integer.
local function is_integer(text)
  local digits = text:match('^-?([1-9]%d*)$')
  if text == '0' then return true end
  if not digits or #digits > 19 then return false end
  if #digits < 19 then return true end
  return digits <= (text:sub(1, 1) == '-' and '9223372036854775808' or '9223372036854775807')
end

local function value_of(e, key)
  return redis.call('GETRANGE', p .. 'e:' .. key, e.len, -1)
end

local function unmet(field, why, e)
  return {'cond', field, why, e and e.version or false}
end

local function check(cond, version, e)
  if cond == 'x' and e then return unmet('condition', 'present', e) end
  if (cond == 'p' or cond == 'v') and not e then return unmet('condition', 'absent') end
  if cond == 'v' and e.version ~= version then return unmet('version', 'other', e) end
  return nil
end

local plans = {}

plans.P = function(plan, e, stands)
  local cond, version, lease = arg(), arg(), arg()
  plan.e = fresh_entry(life())
  plan.value, plan.step, plan.tagged = arg(), 'put', true
  if lease ~= '' then
    if lease_of(plan.key) ~= lease then return {'lease'} end
    local last = redis.call('HGET', p .. 'n', 'l') or ''
    for _, tag in ipairs(tags_of(plan.e)) do
      local stamp = redis.call('GET', p .. 't:' .. tag) or last
      if stamp >= lease then
        end_lease(plan.key)
        return {'lease'}
      end
    end
  end
  return check(cond, version, e)
end

plans.D = function(plan, e)
  local version = arg()
  plan.step, plan.existed = 'delete', e ~= nil
  if version ~= '' then
    if not e then return {'key'} end
    if e.version ~= version then return unmet('version', 'other', e) end
  end
  return nil
end

plans.E = function(plan, e)
  local version, l = arg(), life()
  if not e then return {'key'} end
  if version ~= '' and e.version ~= version then return unmet('version', 'other', e) end
  live(e, l)
  plan.e, plan.step, plan.tell = e, 'renew', 's'
  return nil
end

plans.T = function(plan, e, stands)
  local l = life()
  if not e then
    plan.step, plan.stands = 'miss', stands
    return nil
  end
  live(e, l)
  plan.e, plan.step, plan.tell = e, 'renew', 't'
  return nil
end

plans.I = function(plan, e)
  local delta, initial, min, max = arg(), arg(), arg(), arg()
  local created, renew, renewed = life(), arg(), life()
  local new, from = fresh_entry(created), initial
  if e then
    from = value_of(e, plan.key)
    if e.enc ~= 'p' or not is_integer(from) then return {'nan'} end
    if renew == '1' then live(e, renewed) end
  elseif initial == '' then
    return {'key'}
  end
  local hi, lo = halves(from)
  local delta_hi, delta_lo = halves(delta)
  hi, lo = normal(hi + delta_hi, lo + delta_lo)
  if less(hi, lo, min) or more(hi, lo, max) then return {'bounds', from} end
  plan.e, plan.value, plan.step, plan.tell = e or new, decimal(hi, lo), 'put', 'c'
  return nil
end

plans.A = function(plan, e)
  local cond, version, most, bytes = arg(), arg(), tonumber(arg()), arg()
  local created, renew, renewed = life(), arg(), life()
  local new = fresh_entry(created)
  local refused = check(cond, version, e)
  if refused then return refused end
  local length = #bytes
  if e then
    if e.enc ~= 'p' then return {'enc', e.version} end
    if renew == '1' then live(e, renewed) end
    length = length + redis.call('STRLEN', p .. 'e:' .. plan.key) - e.len
  end
  if length > most then return {'large', length} end
  plan.e, plan.value, plan.length, plan.tell = e or new, bytes, length, 'a'
  plan.step = e and 'append' or 'put'
  return nil
end
