-- Answers each worker's number, and how far the cell is.
local cell = read_cell()
if not cell then
  do return pack('no_cell') end
end
return pack({ done = { run_of_server(), cell[K.history], call('HGETALL', BEATS) } })
