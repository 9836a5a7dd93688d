-- Counts who waits. By this it is asked whether the cell can be served: it fails if any of its keys is no table.
for _, table_key in ipairs(KEYS) do
  check_type(table_key)
end
local cell = read_cell()
if not cell then
  do return pack('no_cell') end
end
local first = read_ready(nil, 1)[1]
local row = first and call('HGET', CONTAINERS, string.sub(first, 1 + PLACE_BYTES))
return pack({ done = { ready = cell[K.ready], phases = cell[K.phases], first = row or '' } })
