-- Reads what changed in the fleet after a revision; all that there is, for a reader who begins with nothing.

local cell = read_cell()
if not cell then
  do return pack('no_cell') end
end
local since = asked.since
if since and (since < cell[K.floor] or since > cell[K.revision]) then
  do return pack({ done = 'whole' }) end
end

-- Who begins with nothing reads beyond the removals that are forgotten at once: its next page must not begin there.
local at_least = since and 0 or cell[K.floor]
local after = '(' .. string.format('%.0f', since or 0)
local page = call('ZRANGE', FLEET, after, '+inf', 'BYSCORE', 'LIMIT', 0, asked.limit + 1, 'WITHSCORES')
local upto, more = cell[K.revision], false
if #page > 2 * asked.limit then
  -- A page ends with a whole revision.
  local last = math.max(tonumber(page[2 * asked.limit]), at_least)
  page = call('ZRANGE', FLEET, after, last, 'BYSCORE', 'WITHSCORES')
  if call('ZCOUNT', FLEET, '(' .. string.format('%.0f', last), '+inf') > 0 then
    upto, more = last, true
  end
end

local CHANGED = 99 -- c
local WORKER = 49 -- 1
local LOT = 50 -- 2
local names, gone = { workers = {}, lots = {}, usage = {} }, {}
for at = 1, #page, 2 do
  local change, kind = string.byte(page[at], 1, 2)
  local name = string.sub(page[at], 3)
  if change == CHANGED then
    local of_kind = kind == WORKER and names.workers or kind == LOT and names.lots or names.usage
    of_kind[#of_kind + 1] = name
  else
    gone[#gone + 1] = { string.char(kind), string.match(name, '^[^%z]*'), tonumber(page[at + 1]) }
  end
end

return pack({ done = { page = {
  workers = rows_of(WORKERS, names.workers),
  lots = rows_of(LOTS, names.lots),
  usage = rows_of(USAGE, names.usage),
  gone = gone,
  upto = { cell[K.history], upto },
  more = more,
  rewind = cell[K.rewind],
  settling = cell[K.settling],
  unregistered = cell[K.away],
} } })
