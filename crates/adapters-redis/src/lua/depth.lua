-- Counts who waits.
local cell = read_cell()
if not cell then
  do return pack('no_cell') end
end
local first = read_ready(nil, 1)[1]
local row = first and call('HGET', CONTAINERS, string.sub(first, 1 + PLACE_BYTES))
return pack({ done = { ready = cell[K.ready], phases = cell[K.phases], first = row or '' } })
