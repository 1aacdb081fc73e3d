"""What the ledger asks of Redis: one script for each operation, so that nobody sees half of it.

Scopes are what a request spends from: its tenant and, where that has limits, the fleet. Each has a hash with what was spent in each window and what
is held, and a sorted set of its open holds by the time they expire. KEYS: the hold; then of each scope its hash and its holds. ARGV: hold id; cost
and tokens wanted; cost and tokens that will do; lease in ms; number of scopes; then of each scope its name, the number of its windows, and of each
window its name, its length in ms (-1: a month of the calendar), its limit (-1: none) and its unit: `c`ost, `t`okens, `r`equests, or holds `o`pen at
once.
"""

# The number of the month in UTC, and the ms until it ends, `now` ms after the beginning of 1970. After Howard Hinnant, "chrono-compatible low-level
# date algorithms" (civil_from_days): a year that begins in March ends with the leap day.
MONTH = """
local function month(now)
  local day = math.floor(now / 86400000) + 719468
  local era = math.floor(day / 146097)
  local of_era = day - era * 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local number = math.floor((5 * of_year + 2) / 153)
  local following, next_year = math.floor((153 * (number + 1) + 2) / 5), year + 1
  if number == 11 then
    following = 365
    if next_year % 4 == 0 and (next_year % 100 ~= 0 or next_year % 400 == 0) then following = 366 end
  end
  return (era * 400 + year) * 12 + number, (following - of_year) * 86400000 - now % 86400000
end
"""

# Redis' own clock decides, so routers need not agree on the time. Holds whose lease is over are released, and a window that is over starts again from
# nothing.
_PRELUDE = (
    MONTH
    + """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function parsed(text)
  local cost, tokens = string.match(text, '^(%d+):(%d+)')
  return {c = tonumber(cost), t = tonumber(tokens), r = 1, o = 1}
end

local function hold(scope, cost, tokens)
  if cost ~= 0 then redis.call('HINCRBY', scope.budget, 'held', string.format('%.0f', cost)) end
  if tokens ~= 0 then redis.call('HINCRBY', scope.budget, 'held_tokens', string.format('%.0f', tokens)) end
end

local function release(scope, lease)
  if redis.call('ZREM', scope.leases, lease) == 0 then return end
  local amount = parsed(lease)
  hold(scope, -amount.c, -amount.t)
end

local function window_at(scope, place)
  local window = {name = ARGV[place], limit = tonumber(ARGV[place + 2]), unit = ARGV[place + 3]}
  if window.unit == 'o' then
    window.spent, window.left = redis.call('ZCARD', scope.leases), 0
    return window
  end
  local length, current = tonumber(ARGV[place + 1])
  if length < 0 then
    current, window.left = month(now)
  else
    current, window.left = math.floor(now / length), length - now % length
  end
  local known = redis.call('HMGET', scope.budget, window.name, window.name .. '_spent')
  window.spent = tonumber(known[2] or 0)
  if known[1] ~= string.format('%.0f', current) then
    redis.call('HSET', scope.budget, window.name, string.format('%.0f', current), window.name .. '_spent', 0)
    window.spent = 0
  end
  scope.keep = math.max(scope.keep, math.ceil(window.left / 1000))
  return window
end

local scopes, place = {}, 8
for index = 1, tonumber(ARGV[7]) do
  local scope = {name = ARGV[place], budget = KEYS[2 * index], leases = KEYS[2 * index + 1], keep = 86400, windows = {}}
  for _, lease in ipairs(redis.call('ZRANGEBYSCORE', scope.leases, '-inf', now)) do release(scope, lease) end
  for number = 1, tonumber(ARGV[place + 1]) do
    scope.windows[number] = window_at(scope, place + 4 * number - 2)
  end
  place = place + 2 + 4 * tonumber(ARGV[place + 1])
  local held = redis.call('HMGET', scope.budget, 'held', 'held_tokens')
  scope.held = {c = tonumber(held[1] or 0), t = tonumber(held[2] or 0), r = 0, o = 0}
  redis.call('EXPIRE', scope.budget, scope.keep + 86400)
  scopes[index] = scope
end
"""
)

# Gives the cost and the tokens that are held, or what is exhausted: the scope, the window and its unit, limit, spent and held, and the ms until it
# ends. A request gets the least where others like those in flight, and it, could not all have what they want; a hold that is known grows as it needs.
RESERVE = (
    _PRELUDE
    + """
local known = redis.call('GET', KEYS[1])
if known == 'settled' then return {0, 0} end
local most = {c = tonumber(ARGV[2]), t = tonumber(ARGV[3]), r = 1, o = 1}
local least = {c = tonumber(ARGV[4]), t = tonumber(ARGV[5]), r = 1, o = 1}
local had = {c = 0, t = 0, r = 0, o = 0}
if known then
  had = parsed(known)
  if most.c <= had.c and most.t <= had.t then return {had.c, had.t} end
  most.c, most.t = math.max(most.c, had.c), math.max(most.t, had.t)
end
local amount = most
for _, scope in ipairs(scopes) do
  local many = redis.call('ZCARD', scope.leases) + 2
  for _, window in ipairs(scope.windows) do
    if window.limit >= 0 then
      local unit = window.unit
      local left = window.limit - window.spent - scope.held[unit]
      if known and most[unit] - had[unit] > left then return {had.c, had.t} end
      if not known and least[unit] > left then
        return {scope.name, window.name, unit, window.limit, window.spent, scope.held[unit], window.left}
      end
      if not known and (unit == 'c' or unit == 't') and most[unit] * many > left then amount = least end
    end
  end
end
local till, text = now + ARGV[6], string.format('%.0f:%.0f', amount.c, amount.t)
if known then
  till = redis.call('ZSCORE', scopes[1].leases, known .. ':' .. ARGV[1])
  if not till then return {had.c, had.t} end
end
for _, scope in ipairs(scopes) do
  if known then redis.call('ZREM', scope.leases, known .. ':' .. ARGV[1]) end
  hold(scope, amount.c - had.c, amount.t - had.t)
  redis.call('ZADD', scope.leases, till, text .. ':' .. ARGV[1])
  redis.call('EXPIRE', scope.leases, 172800)
  for _, window in ipairs(scope.windows) do
    if window.unit == 'r' and not known then redis.call('HINCRBY', scope.budget, window.name .. '_spent', 1) end
  end
end
redis.call('SET', KEYS[1], text, 'PX', ARGV[6] + 86400000)
return {amount.c, amount.t}
"""
)

# The first two numbers are what was used. A hold that is unknown, or whose lease is over, is charged all the same.
SETTLE = (
    _PRELUDE
    + """
local known = redis.call('GET', KEYS[1])
if known == 'settled' then return 0 end
local used = {c = ARGV[2], t = ARGV[3]}
for _, scope in ipairs(scopes) do
  if known then release(scope, known .. ':' .. ARGV[1]) end
  for _, window in ipairs(scope.windows) do
    if used[window.unit] then redis.call('HINCRBY', scope.budget, window.name .. '_spent', used[window.unit]) end
  end
end
redis.call('SET', KEYS[1], 'settled', 'EX', 86400)
return 1
"""
)

# Of the first scope: spent in each window, in their order, then the cost and the tokens held.
SPENT = (
    _PRELUDE
    + """
local found = {}
for place, window in ipairs(scopes[1].windows) do found[place] = window.spent end
found[#found + 1] = scopes[1].held.c
found[#found + 1] = scopes[1].held.t
return found
"""
)
