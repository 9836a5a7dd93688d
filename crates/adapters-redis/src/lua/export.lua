-- Reads all that waits or owns room, with the workers that it is on, a page at a time.

local cell = read_cell()
if not cell then
  do return pack('no_cell') end
end
local after = '(' .. string.format('%.0f', asked.since)

-- The revision with which a page of about `limit` rows ends.
local upto = cell[K.revision]
for _, table_key in ipairs({ CHANGES, FLEET }) do
  local last = call('ZRANGE', table_key, after, '+inf', 'BYSCORE', 'LIMIT', asked.limit - 1, 1, 'WITHSCORES')
  if last[2] then
    upto = math.min(upto, tonumber(last[2]))
  end
end

local workers, gone = {}, {}
for _, change in ipairs(call('ZRANGE', FLEET, after, upto, 'BYSCORE')) do
  if string.sub(change, 1, 2) == 'c1' then
    workers[#workers + 1] = string.sub(change, 3)
  elseif string.sub(change, 1, 2) == 'g1' then
    gone[#gone + 1] = string.match(change, '^[^%z]*', 3)
  end
end
local more = upto < cell[K.revision]
return pack({ done = {
  containers = rows_of(CONTAINERS, call('ZRANGE', CHANGES, after, upto, 'BYSCORE')),
  workers = rows_of(WORKERS, workers),
  gone = gone,
  usage = more and {} or call('HGETALL', USAGE),
  upto = { cell[K.history], upto },
  more = more,
} })
