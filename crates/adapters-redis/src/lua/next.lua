-- Reads the first in line, and the first so many of each named lot after a place in it.

local cell = read_cell()
if not cell then
  do return pack('no_cell') end
end

local function place_of(key)
  return key and place_in_line(key[1], key[2], key[3])
end

-- Members of a table of who waits, and their rows.
local function with_rows(members, id_from)
  local ids = {}
  for at, member in ipairs(members) do
    ids[at] = string.sub(member, id_from)
  end
  local rows = fields(CONTAINERS, ids)
  for at in ipairs(members) do
    rows[at] = rows[at] or ''
  end
  return { members, rows }
end

local lots = {}
for at, lot in ipairs(asked.lots) do
  lots[at] = with_rows(read_parked(lot[1], place_of(lot[3]), lot[2]), 1 + LOT_BYTES + PLACE_BYTES)
end
local ready = with_rows(read_ready(place_of(asked.after), asked.limit), 1 + PLACE_BYTES)
return pack({ done = { ready = ready, lots = lots, mark = { cell[K.history], cell[K.revision] } } })
